"""Training one network from any ticket, by Keras `fit` under a strategy."""

# The names that `optimizers.build` and `learning_rates.build` know, each with those keys of config.training that not
# all of them read; here, so that a config is checked without TensorFlow.
OPTIMIZERS = {
    'adam': ('epsilon', 'epsilon_outside', 'beta_2'),
    'sgd': (),
    'momentum': ('momentum',),
    'rmsprop': ('momentum', 'rho', 'epsilon', 'epsilon_outside'),
}
SCHEDULES = {
    'constant': (),
    'steps': ('milestones', 'drop'),
    'linear': ('final_learning_rate',),
    'exponential': ('final_learning_rate',),
    'cosine': ('final_learning_rate',),
    'inverse_square_root': (),
}
