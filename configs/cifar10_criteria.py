"""Which weights to keep: Conv-4 on CIFAR-10 pruned by another criterion, an arm for each, `:movement`, `:obd`, ...

Paper     Deconstructing Lottery Tickets (1905.01067), section 2, and those of configs/mnist_criteria.py
Command   python main.py --config=configs/cifar10_criteria.py:magnitude_increase
Cost      For a GPU: for each arm 75 trainings of 34 epochs, 115 million images
Expected  As on MNIST: magnitude increase is as good as magnitude or better, and criteria that look at the initial
          weights alone are no better than random numbers (1905.01067, section 2).
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_conv
from tf_lottery.pruning.criteria import CRITERIA

ARMS = tuple(CRITERIA)


def get_config(arm='magnitude'):
    base.check_arm('configs/cifar10_criteria.py', arm, ARMS)
    config = cifar10_conv.get_config('conv4')
    config.name = f'cifar10_criteria_{arm}'
    config.training.length = '34ep'
    config.pruning.criterion = arm
    config.pruning.levels = 24
    if arm in ('taylor', 'obd'):
        config.pruning.examples = 1000
    if arm == 'han':
        # It ranks over the whole network, at one fraction.
        config.pruning.scope = 'global'
        config.pruning.conv_fraction = None
        config.pruning.output_fraction = None
    config.branches = ('ticket',)
    config.branch_levels = ()
    config.reinits = 1
    config.replicates = 3
    return config
