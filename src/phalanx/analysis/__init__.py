"""After the run: statistics, comparison, final, prediction, inspection, overfit check."""
