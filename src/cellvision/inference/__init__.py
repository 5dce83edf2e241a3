"""Inference: predictions on new images, and export of networks to other formats."""
