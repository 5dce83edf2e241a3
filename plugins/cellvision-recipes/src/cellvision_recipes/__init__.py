"""Recipes for cellvision: standard, page, quick."""
