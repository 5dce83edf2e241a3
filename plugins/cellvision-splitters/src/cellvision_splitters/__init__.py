"""Splitters for cellvision: folds by group, leave one out, temporal."""
