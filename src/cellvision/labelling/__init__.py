"""Blind labelling: experts label images on a local page, and their answers are kept."""
