"""Controls for cellvision: permuted labels, background, batch, intensity and texture."""
