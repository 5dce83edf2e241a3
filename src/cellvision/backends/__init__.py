"""Backends: start-up, devices, threads, precision, seeding and several processes."""
