"""Which weights to keep: Lenet on MNIST pruned by another criterion, an arm for each, `:movement`, `:obd`, ...

Paper     Deconstructing Lottery Tickets (1905.01067), section 2; Optimal Brain Damage (LeCun et al. 1990, `obd`);
          Importance Estimation for Neural Network Pruning (1906.10771, `taylor`); Han et al. (1506.02626, `han`)
Command   python main.py --config=configs/mnist_criteria.py:magnitude_increase
Cost      For each arm 6.25 million steps: about 2.2 hours at the 795 steps/s that 2 CPU cores reached
          (docs/performance.md)
Expected  Magnitude increase is as good as magnitude or better, movement and large initial and large final weights are
          close; small final weights, large and small initial ones are no better than random numbers (1905.01067,
          section 2).
"""

from tf_lottery import config as base
from tf_lottery.configs import mnist_lenet
from tf_lottery.pruning.criteria import CRITERIA

ARMS = tuple(CRITERIA)


def get_config(arm='magnitude'):
    base.check_arm('configs/mnist_criteria.py', arm, ARMS)
    config = mnist_lenet.get_config()
    config.name = f'mnist_criteria_{arm}'
    return ranked_by(config, arm)


def ranked_by(config, criterion):
    """Makes an experiment of a config that has tickets alone, by a criterion."""
    config.pruning.criterion = criterion
    # Zhou et al. prune 24 times.
    config.pruning.levels = 24
    if criterion in ('taylor', 'obd'):
        config.pruning.examples = 1000
    if criterion == 'han':
        # It ranks over the whole network, at one fraction.
        config.pruning.scope = 'global'
        config.pruning.conv_fraction = None
        config.pruning.output_fraction = None
    config.branches = ('ticket',)
    config.branch_levels = ()
    config.reinits = 1
    return config
