"""What draws: style, panels, and how each kind of quantity is shown. It reads quantities and computes none."""
