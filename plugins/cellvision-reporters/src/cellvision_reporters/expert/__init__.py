"""Comparison of a network with a blinded expert."""
