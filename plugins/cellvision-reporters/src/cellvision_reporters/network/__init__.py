"""Diagrams of the network."""
