"""Tickets with a structure: Lenet on MNIST pruned in channels, in blocks, to 2 of each 4 weights, or to 1 of each 16.

Paper     The Lottery Ticket Hypothesis (1803.03635), Figure 3, by groups: filters and their L1 norms as in 1608.08710,
          2:4 as in 2104.08378
Command   python main.py --config=configs/structured.py:channels
Command   python main.py --config=configs/structured.py:blocks
Command   python main.py --config=configs/structured.py:2_4
Command   python main.py --config=configs/structured.py:1_16
Command   python main.py --config=configs/structured.py:weights
Cost      For each arm 1.95 million steps, `:2_4` 0.6 million: 41 and 13 minutes at the 795 steps/s that 2 CPU cores
          reached (docs/performance.md)
Expected  At the same densities single weights and M of each N are more accurate than blocks, and these than channels.
          Structured tickets are no better than their reinitialisations, as Liu et al. found of channels (1810.05270).
"""

from tf_lottery import config as base
from tf_lottery.configs import mnist_lenet

# What is pruned as one, and how many times half of it: 50, 25, 12.5 and 6.25 % of the hidden layers' weights.
ARMS = {'channels': ('channels', 4), 'blocks': ('block_4x4', 4), '2_4': ('2:4', 1), '1_16': ('1:16', 4),
        'weights': (None, 4)}


def get_config(arm='channels'):
    base.check_arm('configs/structured.py', arm, ARMS)
    config = mnist_lenet.get_config()
    config.name = f'structured_{arm}'
    config.pruning.structure, config.pruning.levels = ARMS[arm]
    config.pruning.fraction = 0.5
    # The same for all, for its channels are the answers.
    config.pruning.output_fraction = 0
    config.branches = ('ticket', 'random_mask', 'random_reinit')
    config.branch_levels = ()
    config.reinits = 1
    config.replicates = 3
    return config
