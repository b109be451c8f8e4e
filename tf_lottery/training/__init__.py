"""Training one network from any ticket, by Keras `fit` under a strategy."""
