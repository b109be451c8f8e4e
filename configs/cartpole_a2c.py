"""CartPole by advantage actor-critic: tickets rewound to epoch 1, tickets from W_0, random tickets, one-shot.

Paper     Playing the Lottery with Rewards and Multiple Languages (1906.02768), Figures 4 and 6, at the paper's own
          length: 20 epochs of 160 games, 20 levels, biases pruned too, ranked over the whole network
Command   python main.py --config=configs/cartpole_a2c.py
Cost      483 trainings of some 500,000 steps in the environment: 7 minutes on 2 CPU cores
Expected  The paper plots it. Tickets hold the pole for 190 of 200 steps down to a tenth of the weights, rewound or not;
          random tickets drop it from a third of the weights on (docs/results.md).
"""

from tf_lottery import config as base


def get_config():
    config = base.defaults()
    config.name = 'cartpole_a2c'
    config.task = 'control'
    config.control.environment = 'CartPole-v0'
    config.control.games = 160
    config.control.hidden = (128, 128, 128)
    config.training.length = '20ep'
    # 32 games side by side, four steps of each.
    config.training.batch_size = 128
    config.training.optimizer = 'rmsprop'
    config.training.learning_rate = 1e-4
    config.training.rho = 0.99
    config.training.momentum = 0.0
    # As PyTorch has it, in which the paper's code was written.
    config.training.epsilon = 1e-8
    config.training.epsilon_outside = True
    config.training.evaluate_every = '1ep'
    config.training.checkpoint_every = '20ep'
    config.pruning.variables = 'all'
    config.pruning.scope = 'global'
    config.pruning.levels = 20
    config.pruning.rewind_to = '0ep,1ep'
    config.branches = ('ticket', 'random_sparse', 'random_global', 'one_shot')
    config.replicates = 3
    return config
