"""Networks of the original experiments, a small residual network, and pretrained networks."""
