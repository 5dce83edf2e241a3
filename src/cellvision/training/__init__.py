"""The generic Keras trainer and what it leaves behind. keras is imported inside methods only."""
