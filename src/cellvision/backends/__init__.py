"""Keras backends: startup, devices, precision, threads, seeds, several processes."""
