"""An expert labels the network's test images, blindly, on a page of this computer."""
