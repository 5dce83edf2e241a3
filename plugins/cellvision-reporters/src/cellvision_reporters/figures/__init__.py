"""Figure building blocks shared by reporters: layout, colours, image display, text."""
