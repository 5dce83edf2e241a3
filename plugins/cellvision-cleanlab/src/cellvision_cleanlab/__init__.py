"""Reporter ``suspicious_labels``: labels that may be wrong, by cleanlab on grouped folds."""
