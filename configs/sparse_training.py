"""Sparse while training: gradual pruning, static sparse networks, SET and RigL beside the winning ticket.

Paper     To prune, or not to prune (1710.01878, `gradual`); SET (1707.04780); Rigging the Lottery (1911.11134, `rigl`)
Command   python main.py --config=configs/sparse_training.py:lenet
Command   python main.py --config=configs/sparse_training.py:resnet20
Cost      `:lenet` 6.75 million steps: about 2.4 hours at the 795 steps/s that 2 CPU cores reached
          (docs/performance.md); `:resnet20` for a GPU: 135 trainings, 515 million images
Expected  RigL is better than SET, and SET better than static sparse networks; gradual pruning, which begins dense, is
          as good as RigL or better (1911.11134, section 4, on other networks).
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_resnet20, mnist_lenet

ARMS = ('lenet', 'resnet20')


def get_config(arm='lenet'):
    base.check_arm('configs/sparse_training.py', arm, ARMS)
    config = mnist_lenet.get_config() if arm == 'lenet' else cifar10_resnet20.get_config('high')
    config.name = f'sparse_training_{arm}'
    # Ten levels are a factor of ten: 7 keep 20 %, 10 keep 10 %, 17 keep 2 % of the weights.
    config.pruning.fraction = 1 - 10**-0.1
    config.pruning.scope = 'global'
    config.pruning.output_fraction = None
    config.pruning.projection_fraction = None
    config.pruning.rewind_to = '500it' if arm == 'resnet20' else '0it'
    config.pruning.levels = 20
    config.branches = ('ticket', 'gradual', 'static', 'set', 'rigl')
    config.branch_levels = (3, 7, 10, 13, 17, 20)
    config.reinits = 1
    config.replicates = 3
    return config
