"""Microscope files for cellvision, through bioio's readers."""
