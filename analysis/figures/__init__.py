"""One module per figure: `draw(results, paper)` returns what `analysis.render` writes."""
