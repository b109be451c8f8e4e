"""Training one network from any ticket, by Keras `fit` under a strategy."""

# The names that `optimizers.build` knows; here, so that a config is checked without TensorFlow.
OPTIMIZERS = ('adam', 'sgd', 'momentum')
