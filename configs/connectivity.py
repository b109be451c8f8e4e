"""Linear mode connectivity: from which step on do two copies of a network, or of a ticket, end in one valley?

Paper     Linear Mode Connectivity and the Lottery Ticket Hypothesis (1912.05671), Figures 3 and 5
Command   python main.py --config=configs/connectivity.py:lenet
Command   python main.py --config=configs/connectivity.py:resnet20
Cost      78 trainings of LeNet, 39 min at the 795 steps/s of docs/performance.md; 165 of ResNet-20
Expected  LeNet is stable from step 0 on, dense and pruned. ResNet-20 is stable from step 2,000 (3 % of training) when
          dense, from step 500 on when pruned to 16.8 %, where it matches; random masks never are.
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_resnet20, mnist_lenet

ARMS = ('lenet', 'resnet20')


def get_config(arm='lenet'):
    base.check_arm('configs/connectivity.py', arm, ARMS)
    if arm == 'lenet':
        config = mnist_lenet.get_config()
        config.training.length = '24000it'
        level = 15
    else:
        config = cifar10_resnet20.get_config('high')
        config.training.length = '63000it'
        config.training.milestones = ('32000it', '48000it')
        config.pruning.rewind_to = '0it,500it,2000it'
        level = 8
    config.name = f'connectivity_{arm}'
    config.pruning.levels = level
    config.branches = ('ticket', 'random_mask', 'ticket_reordered', 'random_mask_reordered')
    config.branch_levels = (0, level)
    config.data_orders = 3
    config.replicates = 3
    return config
