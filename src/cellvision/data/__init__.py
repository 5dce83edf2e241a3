"""From files to the arrays a network is trained on."""
