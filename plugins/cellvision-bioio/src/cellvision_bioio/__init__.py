"""Microscope files for cellvision, read by bioio."""
