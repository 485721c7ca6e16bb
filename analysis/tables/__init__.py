"""One module per table: `build(results, paper)` returns what `analysis.render` writes."""
