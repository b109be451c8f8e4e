"""What rewinding is for: accuracy and stability against the step that tickets are rewound to.

Paper     Stabilizing the Lottery Ticket Hypothesis (1903.01611), Figures 4 and 5 and section 4
Command   python main.py --config=configs/cifar10_rewinding.py:resnet20
Command   python main.py --config=configs/cifar10_rewinding.py:vgg19
Cost      For a GPU: 267 trainings, 958 million images (ResNet-20); 423 and 3,022 million (VGG-19)
Expected  At learning rate 0.1 without warm-up, tickets rewound to step 0 are as bad as random masks; gains saturate at
          step 500 (ResNet-20) and 100 (VGG-19), where both exceed the dense network; very late steps hurt (section 4).
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_resnet20, cifar10_vgg19

# Network: its experiment, rewinding steps, and the level whose stability is measured (0.8^8 and 0.8^17 of the weights).
ARMS = {
    'resnet20': (cifar10_resnet20, '0it,100it,250it,500it,1000it,2000it,4000it,8000it', 8),
    'vgg19': (cifar10_vgg19, '0it,50it,100it,250it,500it,1000it,4000it', 17),
}


def get_config(arm='resnet20'):
    base.check_arm('configs/cifar10_rewinding.py', arm, ARMS)
    network, rewind_to, level = ARMS[arm]
    config = network.get_config('high')
    config.name = f'cifar10_rewinding_{arm}'
    config.pruning.rewind_to = rewind_to
    config.pruning.levels = level
    config.branches = ('ticket', 'random_mask', 'ticket_reordered', 'random_mask_reordered')
    config.branch_levels = (level,)
    # The line between two copies costs more than training them: configs/connectivity.py measures it.
    config.connectivity.points = 0
    return config
