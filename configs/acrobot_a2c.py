"""Acrobot by advantage actor-critic: tickets rewound to epoch 1 against random tickets.

Paper     Playing the Lottery with Rewards and Multiple Languages (1906.02768), Figure 4, at the paper's own length: 20
          epochs of 320 games; 16 of the paper's 20 levels
Command   python main.py --config=configs/acrobot_a2c.py
Cost      147 trainings of about a million steps in the environment: 78 minutes on 2 CPU cores that others used, too
Expected  The paper plots it: tickets lead where few weights remain. Rewards are negative, the steps to the top.
"""

from tf_lottery.configs import cartpole_a2c


def get_config():
    config = cartpole_a2c.get_config()
    config.name = 'acrobot_a2c'
    config.control.environment = 'Acrobot-v1'
    config.control.games = 320
    config.control.hidden = (256, 256, 256)
    # Games that evaluate take as long as an epoch.
    config.training.evaluate_every = '5ep'
    config.pruning.levels = 16
    config.pruning.rewind_to = '1ep'
    config.branches = ('ticket', 'random_sparse', 'random_global')
    return config
