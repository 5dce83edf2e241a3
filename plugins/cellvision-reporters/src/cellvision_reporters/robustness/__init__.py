"""Robustness to perturbations and gradient attacks."""
