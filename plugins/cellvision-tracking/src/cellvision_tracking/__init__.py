"""Reporters that follow a training live: TensorBoard and MLflow."""
