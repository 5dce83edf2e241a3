"""Explanations: attribution maps and feature embeddings."""
