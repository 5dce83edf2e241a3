"""Architectures for cellvision: those of the page, a small residual network, pretrained ones."""
