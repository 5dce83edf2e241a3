"""One small network, written out twice: in pure Python and in NumPy.

`cellvision_architectures.perceptron.Perceptron` leaves the gradients to Keras. Here they are
computed by hand, to show how backpropagation works. All three give the same gradients.

`plain_python`
    One neuron and one weight at a time, with nothing but lists and the math module.
`with_numpy`
    The same for a whole batch of images at once, as products of matrices.
"""
