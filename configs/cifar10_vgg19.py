"""VGG-19 on CIFAR-10 at high, low and warmed-up learning rate, pruned globally and layer-wise.

Paper     The Lottery Ticket Hypothesis (1803.03635), Figure 7, section 4 and appendix I
Command   python main.py --config=configs/cifar10_vgg19.py:high
Command   python main.py --config=configs/cifar10_vgg19.py:low
Command   python main.py --config=configs/cifar10_vgg19.py:warmup
Command   python main.py --config=configs/cifar10_vgg19.py:warmup_layerwise
Cost      For a GPU: 93 trainings, 669 million images
Expected  At 0.1 no winning tickets, at 0.01 within a point of the dense network for 3.5 % of the weights and more, with
          warm-up tickets win down to 1.5 %, layer-wise down to 6.9 % only (section 4). Dense networks: 91.5, 92.0 and
          92.3 % (1903.01611, Figure 2).
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_resnet20

# The learning rate and the steps that it takes to rise to it.
RATES = {'high': (0.1, 0), 'low': (0.01, 0), 'warmup': (0.1, 10_000)}
ARMS = (*RATES, *(f'{rate}_layerwise' for rate in RATES))


def get_config(arm='warmup'):
    base.check_arm('configs/cifar10_vgg19.py', arm, ARMS)
    # Momentum, weight decay, augmentation and what is pruned in which scope are those of ResNet-20.
    config = cifar10_resnet20.get_config(arm)
    config.name = f'cifar10_vgg19_{arm}'
    config.model.name = 'vgg19'
    # 160 epochs of 45,000 examples.
    config.training.length = '112480it'
    config.training.batch_size = 64
    rate, warmup = RATES[arm.removesuffix('_layerwise')]
    config.training.learning_rate = rate
    config.training.warmup = f'{warmup}it'
    # Epochs 80 and 120.
    config.training.milestones = ('56240it', '84360it')
    config.pruning.levels = 20
    config.branch_levels = (2, 4, 6, 8, 10, 12, 14, 15, 17, 19)
    return config
