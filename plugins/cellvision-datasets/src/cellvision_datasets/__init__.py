"""Data sets for cellvision: folders of images, tables, Fashion-MNIST, flowers, synthetic cells."""
