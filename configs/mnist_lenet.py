"""Lenet on MNIST, the first column of Figure 2: winning tickets, reinitialised tickets, random masks.

Paper     The Lottery Ticket Hypothesis (1803.03635), Figures 3 and 4a, at the paper's own length
Command   python main.py --config=configs/mnist_lenet.py
Cost      11.25 million steps: about 4 hours at the 795 steps/s that 2 CPU cores reached (docs/performance.md)
Expected  Early stop 38 % earlier at 21.1 % of the weights, test accuracy +0.3 points at 13.5 % and back at the dense
          network's at 3.6 %; reinitialised tickets fall below it from 21.1 % on (section 2).
"""

from tf_lottery import config as base


def get_config():
    config = base.defaults()
    config.name = 'mnist_lenet'
    config.data.name = 'mnist'
    config.training.length = '50000it'
    # The output layer is pruned at half the rate of the others.
    config.pruning.output_fraction = config.pruning.get_ref('fraction') / 2
    config.pruning.levels = 20
    config.branches = ('ticket', 'random_reinit', 'random_mask')
    config.branch_levels = (3, 7, 9, 12, 15, 18)
    config.reinits = 3
    config.replicates = 5
    return config
