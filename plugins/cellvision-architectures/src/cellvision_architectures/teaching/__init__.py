"""One small network, written out twice: in pure Python and in NumPy.

`cellvision_architectures.perceptron.Perceptron` has Keras work out how each weight bears on the
cost. Here it is done by hand, so that one can read what backpropagation is. All three give the
same gradients.

`plain_python`
    One neuron and one weight at a time, with nothing but lists and the math module.
`with_numpy`
    The same for a whole batch of images at once, as products of matrices.
"""
