"""Suspicious labels, ranked by cleanlab on out-of-fold probabilities."""
