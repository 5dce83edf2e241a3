"""Finished runs and studies: their folders, scores, models and reports."""
