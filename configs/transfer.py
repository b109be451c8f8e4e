"""Tickets that are trained where they were not found: on other data sets, on other halves, by other optimizers.

Paper     One ticket to win them all (1906.02773), sections 3 and 4; lengths, rates and batch sizes are those of its
          ReScience reproduction (varungohil/Generalizing-Lottery-Tickets), the networks' kernels Gaussian Glorot
Command   python main.py --config=configs/transfer.py:lenet
Command   python main.py --config=configs/transfer.py:lenet_halves
Command   python main.py --config=configs/transfer.py:lenet_optimizers
Command   python main.py --config=configs/transfer.py:resnet20
Command   python main.py --config=configs/transfer.py:resnet20_halves
Command   python main.py --config=configs/transfer.py:resnet20_optimizers
Command   python main.py --config=configs/transfer.py:vgg19
Command   python main.py --config=configs/transfer.py:vgg19_halves
Command   python main.py --config=configs/transfer.py:vgg19_optimizers
Command   python main.py --config=configs/transfer.py:vgg19_imagenet
Command   python main.py --config=configs/transfer.py:resnet50
Command   python main.py --config=configs/transfer.py:resnet50_halves
Command   python main.py --config=configs/transfer.py:resnet50_optimizers
Command   python main.py --config=configs/transfer.py:resnet50_imagenet
Cost      LeNet 6 million steps, about 2 hours at the 795 steps/s of docs/performance.md; the others are for GPUs
Expected  Tickets of another data set come close to a data set's own, those of larger data sets with more classes
          closest; random tickets fall behind. The reproduction's VGG-19 has 92.4 % on CIFAR-10 with tickets of
          CIFAR-100 at 21 % of the weights, and 92.9 % with its own.
"""

from tf_lottery import config as base

# The data sets of each network, the one of its halves and optimizers first.
_DATA = {'lenet': ('fashion_mnist', 'mnist'), **dict.fromkeys(
    ('resnet20', 'vgg19', 'resnet50'), ('cifar10', 'cifar100', 'svhn', 'fashion_mnist'))}
# Epochs, and those at whose start the rate drops.
_EPOCHS = {'resnet20': (160, (80, 120)), 'vgg19': (160, (80, 120)), 'resnet50': (90, (50, 65, 80))}
ARMS = (*(f'{network}{study}' for network in _DATA for study in ('', '_halves', '_optimizers')), 'vgg19_imagenet',
        'resnet50_imagenet')

_SGD = {'training': {'optimizer': 'momentum', 'learning_rate': 0.1, 'weight_decay': 1e-4}}
_ADAM = {'training': {'optimizer': 'adam', 'learning_rate': 3e-4, 'weight_decay': 1e-4}}
# Of dense layers on 60 images a step.
_LENET_SGD = {'training': {'optimizer': 'momentum', 'learning_rate': 0.02, 'weight_decay': 1e-4}}
_LENET_ADAM = {'training': {'optimizer': 'adam', 'learning_rate': 1.2e-3, 'weight_decay': 1e-4}}


def get_config(arm='lenet'):
    base.check_arm('configs/transfer.py', arm, ARMS)
    network, _, study = arm.partition('_')
    config = _lenet() if network == 'lenet' else _convolutional(network)
    config.name = f'transfer_{arm}'
    first = _DATA[network][0]
    config.data.name = first
    config.pruning.scope = 'global'
    config.pruning.rewind_to = '1ep'
    if study == 'halves':
        config.matrix = {f'{first}{part}': {'data': {'part': part}} for part in 'ab'}
    elif study == 'optimizers':
        sgd, adam = (_LENET_SGD, _LENET_ADAM) if network == 'lenet' else (_SGD, _ADAM)
        config.matrix = {'sgd': sgd, 'adam': adam}
    else:
        config.matrix = {name: _data(name, network) for name in _DATA[network]}
    if study == 'imagenet':
        # Its images are cropped and mirrored anyway.
        config.matrix.imagenet2012 = {'data': {'name': 'imagenet2012', 'crop_pixels': 0, 'flip': False},
                                      'pruning': {'rewind_to': '3ep'}}
    return config


def _lenet():
    config = base.defaults()
    config.training.length = '12ep'
    config.pruning.levels = 15
    config.branches = ('ticket', 'transferred', 'transferred_mask', 'transferred_weights', 'random_sparse',
                       'random_global')
    config.replicates = 3
    return config


def _convolutional(network):
    config = base.defaults()
    config.model.name = network
    epochs, drops = _EPOCHS[network]
    config.update(_SGD)
    config.training.batch_size = 512
    config.training.length = f'{epochs}ep'
    config.training.schedule = 'steps'
    config.training.milestones = tuple(f'{drop}ep' for drop in drops)
    config.training.evaluate_every = '1ep'
    config.training.checkpoint_every = '5ep'
    config.data.crop_pixels = 4
    config.data.flip = True
    config.pruning.levels = 30
    config.branches = ('ticket', 'transferred', 'random_sparse', 'random_global')
    # A data set's first epoch is not as long as another's.
    config.transfer.start = 'anew'
    config.replicates = 6
    return config


def _data(name, network):
    """The keys of a data set: for convolutions grey images become like the others."""
    grey = {'three_channels': True, 'image_size': 32} if name == 'fashion_mnist' and network != 'lenet' else {}
    return {'data': {'name': name, **grey}}
