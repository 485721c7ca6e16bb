"""CMU motion capture, real or generated: joint positions in time and the windows cut from them, in one store."""
