"""Stability to pruning and to data order of tickets and random masks, without rewinding.

Paper     Stabilizing the Lottery Ticket Hypothesis (1903.01611), Figures 2, 3 and 10: one row of the table each
Command   python main.py --config=configs/stability.py:lenet
Command   python main.py --config=configs/stability.py:resnet20_high
Command   python main.py --config=configs/stability.py:resnet20_low
Command   python main.py --config=configs/stability.py:resnet20_warmup
Command   python main.py --config=configs/stability.py:vgg19_high
Command   python main.py --config=configs/stability.py:vgg19_low
Command   python main.py --config=configs/stability.py:vgg19_warmup
Cost      54 trainings of LeNet, an hour at the 795 steps/s of docs/performance.md; for a GPU: ResNet-20 48, VGG-19 75
Expected  L2 to data order, ticket / random mask: Lenet 20.7 / 58.6, Resnet-18 66.4 / 66.7, 7.1 / 28.9 and 9.5 / 37.4 at
          0.1, 0.01 and warm-up, VGG-19 285 / 245, 36.8 / 90.3 and 97 / 267: where tickets win, they are more stable.
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_resnet20, cifar10_vgg19, mnist_lenet

# The experiment and the level of the table: 10.7, 16.7 and 2.2 % of the weights.
_NETWORKS = {'resnet20': (cifar10_resnet20, 8), 'vgg19': (cifar10_vgg19, 17)}
ARMS = ('lenet', *(f'{network}_{rate}' for network in _NETWORKS for rate in ('high', 'low', 'warmup')))


def get_config(arm='lenet'):
    base.check_arm('configs/stability.py', arm, ARMS)
    if arm == 'lenet':
        config, level = mnist_lenet.get_config(), 10
    else:
        network, rate = arm.split('_')
        config, level = _NETWORKS[network][0].get_config(rate), _NETWORKS[network][1]
    config.name = f'stability_{arm}'
    config.pruning.levels = level
    config.branches = ('ticket', 'random_mask', 'ticket_reordered', 'random_mask_reordered')
    config.branch_levels = (level,)
    # Four copies are six pairs a replicate: the paper's 18 samples.
    config.data_orders = 3
    config.replicates = 3
    config.connectivity.points = 0
    return config
