"""Live reporters for cellvision: TensorBoard and MLflow."""
