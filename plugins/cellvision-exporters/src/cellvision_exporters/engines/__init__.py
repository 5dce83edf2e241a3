"""Programs that predict with what the exporters write."""
