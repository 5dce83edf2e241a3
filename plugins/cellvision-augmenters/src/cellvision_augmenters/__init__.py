"""Augmenters for cellvision: rotation, translation, flip."""
