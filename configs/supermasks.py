"""Supermasks: which of its initial weights a network keeps is learned, and none of them is trained.

Paper     Deconstructing Lottery Tickets (1905.01067), section 5 and its table of test accuracies
Command   python main.py --config=configs/supermasks.py:lenet
Command   python main.py --config=configs/supermasks.py:conv2
Command   python main.py --config=configs/supermasks.py:conv4
Command   python main.py --config=configs/supermasks.py:conv6
Cost      `:lenet` 7.9 million steps of 250 examples, for a GPU; the others for a GPU: 18 trainings, 81 million images
          each
Expected  On MNIST 95.3 % with initial weights, and more with rescaled signed constants; with those 66.0, 72.5 and
          76.5 % on CIFAR-10 by Conv-2, 4 and 6 (section 5).
"""

from tf_lottery import config as base

ARMS = ('lenet', 'conv2', 'conv4', 'conv6')


def get_config(arm='lenet'):
    base.check_arm('configs/supermasks.py', arm, ARMS)
    config = base.defaults()
    config.name = f'supermasks_{arm}'
    if arm == 'lenet':
        config.training.length = '2000ep'
        config.training.batch_size = 250
    else:
        config.data.name = 'cifar10'
        config.model.name = arm
        config.training.learning_rate = {'conv2': 2e-4, 'conv4': 3e-4, 'conv6': 3e-4}[arm]
        # Neither is in the paper or its code: those of its comparison in the code of 1911.13299.
        config.training.length = '100ep'
        config.training.batch_size = 128
        config.supermask.learning_rate = 200.0
        config.supermask.schedule = 'cosine'
    # Scores begin at 0: half of the weights are kept.
    config.pruning.fraction = 0.5
    config.pruning.levels = 1
    config.branches = ('supermask', 'supermask_constant', 'supermask_rescaled', 'supermask_rescaled_constant',
                       'supermask_trained')
    config.training.evaluate_every = '1ep'
    config.replicates = 3
    return config
