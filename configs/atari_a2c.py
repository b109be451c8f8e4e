"""Atari games by advantage actor-critic: tickets rewound to epoch 1 against random tickets.

Paper     Playing the Lottery with Rewards and Multiple Languages (1906.02768), its Atari games: 25 epochs of 1,000
          batches of 128 games, six steps of each, with 1,024 games side by side; 20 levels. An arm for each game:
          assault, berzerk, breakout, centipede, kangaroo, krull, qbert, seaquest, space_invaders
Command   python main.py --config=configs/atari_a2c.py:breakout
Cost      123 trainings of 19.2 million steps in the environment, some 58 million frames: 3 to 4 days each on 2 CPU
          cores by the products of the network alone. Played at toy length only
Expected  The paper plots it: tickets beat random ones on Assault, Berzerk and Seaquest, slightly on Breakout and
          Centipede, and not on Krull; only tickets learn Kangaroo.
"""

from tf_lottery import config as base

GAMES = {'assault': 'Assault', 'berzerk': 'Berzerk', 'breakout': 'Breakout', 'centipede': 'Centipede',
         'kangaroo': 'Kangaroo', 'krull': 'Krull', 'qbert': 'Qbert', 'seaquest': 'Seaquest',
         'space_invaders': 'SpaceInvaders'}


def get_config(game='breakout'):
    base.check_arm('configs/atari_a2c.py', game, GAMES)
    config = base.defaults()
    config.name = f'atari_a2c_{game}'
    config.task = 'control'
    config.control.environment = f'ALE/{GAMES[game]}-v5'
    config.control.algorithm = 'a2c_blocks'
    config.control.batches = 1000
    config.control.environments = 1024
    config.control.block = 6
    config.control.hidden = (512, 512)
    # Clipped to [-1, 1] instead.
    config.control.reward_scale = 1.0
    config.control.last = 1024
    # Games may go on for hours.
    config.control.evaluation_games = 0
    config.training.length = '25ep'
    # 128 games, six steps of each.
    config.training.batch_size = 768
    config.training.optimizer = 'adam'
    config.training.learning_rate = 1e-3
    # As PyTorch has it, in which ELF was written.
    config.training.epsilon = 1e-3
    config.training.epsilon_outside = True
    config.training.evaluate_every = '1ep'
    config.training.checkpoint_every = '1ep'
    config.pruning.variables = 'all'
    config.pruning.scope = 'global'
    config.pruning.levels = 20
    config.pruning.rewind_to = '1ep'
    config.branches = ('ticket', 'random_sparse')
    config.replicates = 3
    return config
