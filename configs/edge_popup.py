"""Edge-popup: the subnetwork of a random network that is best without any training, at several densities.

Paper     What's Hidden in a Randomly Weighted Neural Network? (1911.13299), Figures 3 to 5 and 8
Command   python main.py --config=configs/edge_popup.py:lenet
Command   python main.py --config=configs/edge_popup.py:conv2
Command   python main.py --config=configs/edge_popup.py:conv4
Command   python main.py --config=configs/edge_popup.py:conv6
Command   python main.py --config=configs/edge_popup.py:conv8
Command   python main.py --config=configs/edge_popup.py:resnet50
Cost      For a GPU: 48 trainings, 216 million images on CIFAR-10 and 264 million on MNIST; 4 and 508 million for
          ResNet-50
Expected  On CIFAR-10 best between 30 and 70 % of the weights, and there nearly the dense network's accuracy, the more
          so the deeper the network; ResNet-50 68.6 % with signed constants and 61.7 % with Kaiming normal weights, both
          at 30 % of the weights.
"""

from tf_lottery import config as base
from tf_lottery.configs import imagenet_oneshot

ARMS = ('lenet', 'conv2', 'conv4', 'conv6', 'conv8', 'resnet50')


def get_config(arm='conv4'):
    base.check_arm('configs/edge_popup.py', arm, ARMS)
    config = _resnet50() if arm == 'resnet50' else _small(arm)
    config.name = f'edge_popup_{arm}'
    config.branches = ('edge_popup', 'edge_popup_normal', 'edge_popup_trained')
    return config


def _small(arm):
    config = base.defaults()
    if arm != 'lenet':
        config.data.name = 'cifar10'
        config.data.crop_pixels = 4
        config.data.flip = True
        config.model.name = arm
    config.training.length = '100ep'
    config.training.batch_size = 128
    # The dense network's, and that of tickets which are trained on.
    config.training.optimizer = 'momentum'
    config.training.learning_rate = 0.01
    config.training.schedule = 'cosine'
    config.training.weight_decay = 1e-4
    config.training.evaluate_every = '1ep'
    # Ten levels are a factor of ten.
    config.pruning.fraction = 1 - 10**-0.1
    config.pruning.levels = 10
    # 79, 50, 32, 20 and 10 % of each layer's weights.
    config.branch_levels = (1, 3, 5, 7, 10)
    config.replicates = 3
    return config


def _resnet50():
    config = imagenet_oneshot.get_config('resnet50')
    config.training.length = '100ep'
    config.training.batch_size = 256
    config.training.learning_rate = 0.256
    config.training.momentum = 0.875
    config.training.schedule = 'cosine'
    config.training.milestones = ()
    config.training.warmup = '5ep'
    config.training.weight_decay = 1 / 2**15
    config.training.label_smoothing = 0.1
    config.training.scale_from = None
    config.edge_popup.learning_rate = 0.256
    config.edge_popup.warmup = '5ep'
    config.edge_popup.momentum = 0.875
    config.edge_popup.weight_decay = 1 / 2**15
    config.pruning.fraction = 0.7
    config.pruning.levels = 1
    config.pruning.rewind_to = '0it'
    config.branch_levels = ()
    config.data_orders = 1
    config.replicates = 1
    return config
