"""LunarLander by advantage actor-critic: tickets rewound to epoch 1 against random tickets.

Paper     Playing the Lottery with Rewards and Multiple Languages (1906.02768), Figure 4: 20 epochs of 640 games, 20
          levels; LunarLander-v2 is gone from Gymnasium, v3 is the same game with two faults mended
Command   python main.py --config=configs/lunarlander_a2c.py
Cost      183 trainings of 3 to 4 million steps in the environment, which Box2D computes: about 6 hours on 2 CPU cores;
          --config.control.games=75 plays 1,500 games a training, in a little over a minute
Expected  The paper plots it: tickets beat random ones.
"""

from tf_lottery.configs import cartpole_a2c


def get_config():
    config = cartpole_a2c.get_config()
    config.name = 'lunarlander_a2c'
    config.control.environment = 'LunarLander-v3'
    config.control.games = 640
    config.control.hidden = (256, 256, 256)
    # Games that evaluate take as long as an epoch.
    config.training.evaluate_every = '10ep'
    config.training.checkpoint_every = '2ep'
    config.pruning.rewind_to = '1ep'
    config.branches = ('ticket', 'random_sparse', 'random_global')
    return config
