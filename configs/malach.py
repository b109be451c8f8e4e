"""Tickets that are never trained: a trained network made by pruning a random one that is twice as deep.

Paper     Proving the Lottery Ticket Hypothesis: Pruning is All You Need (2002.00585); Optimal Lottery Tickets via
          SubsetSum (2006.07990)
Command   python main.py --config=configs/malach.py:digits
Command   python main.py --config=configs/malach.py:lenet
Cost      `:digits` two minutes on 2 CPU cores, `:lenet` ten
Expected  With the best subset of n random products for each weight the error falls exponentially with n: n grows like
          log(1 / error) (2006.07990). With the best single product it falls like 1 / n. LeNet's accuracy is back long
          before its outputs are.
"""

from tf_lottery import config as base
from tf_lottery.configs import digits_lenet, mnist_lenet

ARMS = ('lenet', 'digits')


def get_config(arm='lenet'):
    base.check_arm('configs/malach.py', arm, ARMS)
    config = mnist_lenet.get_config() if arm == 'lenet' else digits_lenet.get_config()
    config.name = f'malach_{arm}'
    # Nothing but the dense network is trained.
    config.pruning.levels = 0
    config.branches = ('ticket',)
    config.branch_levels = ()
    config.reinits = 1
    if arm == 'lenet':
        config.training.length = '3000it'
        config.replicates = 1
    config.construction.widths = (2, 4, 8, 12, 16, 20, 24, 64, 256)
    return config
