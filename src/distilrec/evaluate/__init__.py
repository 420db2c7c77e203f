"""Full ranking, intervals and comparisons, of anything that scores."""
