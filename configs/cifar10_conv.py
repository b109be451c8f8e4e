"""Conv-2, Conv-4 and Conv-6 on CIFAR-10, with and without dropout: winning tickets and their controls.

Paper     The Lottery Ticket Hypothesis (1803.03635), Figures 2, 5 and 6 (dropout), appendix H
Command   python main.py --config=configs/cifar10_conv.py:conv2
Command   python main.py --config=configs/cifar10_conv.py:conv4
Command   python main.py --config=configs/cifar10_conv.py:conv6
Command   python main.py --config=configs/cifar10_conv.py:conv2_dropout
Command   python main.py --config=configs/cifar10_conv.py:conv4_dropout
Command   python main.py --config=configs/cifar10_conv.py:conv6_dropout
Cost      For a GPU: 275, 335 and 335 trainings, 330, 502 and 603 million images; three times as many with dropout
Expected  Early stop up to 3.5, 3.5 and 2.5 times sooner (at 8.8, 9.2, 15.1 % of the weights), accuracy up to 3.4, 3.5
          and 3.3 points higher (at 4.6, 11.1 and 26.4 %), above the dense network's down to 2 % (section 3). Dropout:
          2.1, 3.0 and 2.4 points more to begin with, and up to 2.3, 4.6 and 4.7 more by pruning.
"""

from tf_lottery import config as base

# Network: steps, Adam's learning rate, share of a convolution pruned per level, levels down to 2 % of the weights.
ARMS = {
    'conv2': (20_000, 2e-4, 0.10, 18),
    'conv4': (25_000, 3e-4, 0.10, 22),
    'conv6': (30_000, 3e-4, 0.15, 22),
    # Three times as long, at the rates that appendix H.4 gives.
    'conv2_dropout': (60_000, 3e-4, 0.10, 18),
    'conv4_dropout': (75_000, 2e-4, 0.10, 22),
    'conv6_dropout': (90_000, 2e-4, 0.15, 22),
}


def get_config(arm='conv2'):
    base.check_arm('configs/cifar10_conv.py', arm, ARMS)
    length, rate, conv_fraction, levels = ARMS[arm]
    config = base.defaults()
    config.name = f'cifar10_{arm}'
    config.data.name = 'cifar10'
    config.model.name = arm
    config.training.length = f'{length}it'
    config.training.batch_size = 60
    config.training.learning_rate = rate
    config.pruning.conv_fraction = conv_fraction
    # The output layer is pruned at half the rate of the others.
    config.pruning.output_fraction = config.pruning.get_ref('fraction') / 2
    config.pruning.levels = levels
    config.branches = ('ticket', 'random_reinit', 'random_mask')
    config.branch_levels = (1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21)
    config.reinits = 3
    config.replicates = 5
    return config
