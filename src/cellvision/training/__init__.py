"""Training: the generic Keras trainer and the run that it writes."""
