"""Studies: several runs of one or more experiments, with controls and a verdict."""
