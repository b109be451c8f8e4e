"""Which weights to keep: Conv-4 on CIFAR-10 pruned by another criterion, an arm for each, `:movement`, `:obd`, ...

Paper     Deconstructing Lottery Tickets (1905.01067), section 2, and those of configs/mnist_criteria.py
Command   python main.py --config=configs/cifar10_criteria.py:magnitude_increase
Cost      For a GPU: for each arm 75 trainings of 34 epochs, 115 million images
Expected  As on MNIST: magnitude increase is as good as magnitude or better, and criteria that look at the initial
          weights alone are no better than random numbers (1905.01067, section 2).
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_conv, mnist_criteria


def get_config(arm='magnitude'):
    base.check_arm('configs/cifar10_criteria.py', arm, mnist_criteria.ARMS)
    config = cifar10_conv.get_config('conv4')
    config.name = f'cifar10_criteria_{arm}'
    config.training.length = '34ep'
    config.replicates = 3
    return mnist_criteria.ranked_by(config, arm)
