"""Augmenters for cellvision: random changes to training images that keep or mix their labels."""
