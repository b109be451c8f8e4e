"""Pruning before training beside the winning ticket: SNIP, GraSP, SynFlow and magnitude, and their sanity checks.

Paper     SNIP (1810.02340), Table 1, by its schedule (`:lenet`); Pruning Neural Networks at Initialization: Why Are We
          Missing the Mark? (2009.08576) (`:resnet20`); GraSP (2002.07376); SynFlow (2006.05467)
Command   python main.py --config=configs/pruning_before_training.py:lenet
Command   python main.py --config=configs/pruning_before_training.py:resnet20
Cost      `:lenet` 19.6 million steps: about 7 hours at the 795 steps/s that 2 CPU cores reached (docs/performance.md),
          though with batches of 60; `:resnet20` for a GPU: 261 trainings, 1,876 million images
Expected  On LeNet-300-100 SNIP's test error is 1.6 % at 5 % of the weights and 2.4 % at 2 %, the dense network's 1.7 %
          (1810.02340, Table 1). On ResNet-20 all are better than random masks and worse than the winning ticket, and
          shuffling their masks within layers, or new weights, hardly matter (2009.08576).
"""

from tf_lottery import config as base
from tf_lottery.configs import cifar10_resnet20

ARMS = ('lenet', 'resnet20')


def get_config(arm='lenet'):
    base.check_arm('configs/pruning_before_training.py', arm, ARMS)
    config = _lenet() if arm == 'lenet' else _resnet20()
    config.name = f'pruning_before_training_{arm}'
    # Ten levels are a factor of ten: 13 keep 5 %, 17 keep 2 %, 20 keep 1 % of the weights.
    config.pruning.fraction = 1 - 10**-0.1
    # All of these papers rank over the whole network.
    config.pruning.scope = 'global'
    config.pruning.levels = 20
    config.branches = ('ticket', 'random_mask', 'initial_magnitude', *(
        f'{method}{control}' for method in ('snip', 'grasp', 'synflow') for control in ('', '_shuffled', '_reinit')))
    config.branch_levels = (3, 7, 10, 13, 17, 20)
    config.replicates = 3
    return config


def _lenet():
    """SNIP's own training, at a length of three of its learning rates, which it does not give."""
    config = base.defaults()
    config.data.name = 'mnist'
    config.data.validation = 6000
    config.training.length = '75000it'
    config.training.batch_size = 100
    config.training.optimizer = 'momentum'
    config.training.learning_rate = 0.1
    config.training.schedule = 'steps'
    config.training.milestones = ('25000it', '50000it')
    config.training.weight_decay = 5e-4
    return config


def _resnet20():
    """2009.08576's training: 160 epochs, with drops after 80 and 120."""
    config = cifar10_resnet20.get_config('high')
    config.training.length = '160ep'
    config.training.milestones = ('80ep', '120ep')
    config.pruning.rewind_to = '0it'
    return config
