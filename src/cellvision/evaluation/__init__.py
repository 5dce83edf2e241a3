"""Score trained networks on labelled images that came later."""
