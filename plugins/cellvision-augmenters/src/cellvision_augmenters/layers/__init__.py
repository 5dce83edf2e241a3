"""The Keras layers of the augmenters.

They replace Keras' own random layers for four reasons. Under mixed precision those compute in
the precision of the network, which rounds 16-bit pixels to 8 bits. Random rotation and
translation turn off just-in-time compilation for the whole model, so that JAX does not compile
the training step at all. Random flip in both directions draws one number for both, so that no
image is flipped in one of them alone. On two CPU cores they take a third of the training time of
a small network.

The layers run only during training and are not saved with a model. Importing this package imports
Keras; only `build` does so.
"""
