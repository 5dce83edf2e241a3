"""Results of runs and studies: folders, tables, scores, saved networks and reports."""
