"""The lottery ticket hypothesis on scikit-learn's handwritten digits: small, real, nothing to download.

Paper     The Lottery Ticket Hypothesis (1803.03635), the protocol of Figure 2's Lenet column on a smaller data set
Command   python main.py
Cost      about a minute on 2 CPU cores
Expected  The ticket keeps the dense network's accuracy down to about a tenth of the weights; the same masks
          reinitialised, or shuffled, lose it earlier.
"""

from tf_lottery import config as base


def get_config():
    config = base.defaults()
    config.name = 'digits_lenet'
    config.data.name = 'digits'
    config.training.length = '1000it'
    config.training.evaluate_every = '50it'
    config.pruning.output_fraction = config.pruning.get_ref('fraction') / 2
    config.pruning.levels = 14
    config.branches = ('ticket', 'random_reinit', 'random_mask')
    config.branch_levels = (3, 6, 9, 12, 14)
    config.replicates = 3
    return config
