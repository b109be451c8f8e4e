"""An LSTM language model on the Penn Treebank.

Paper     Playing the lottery with rewards and multiple languages (1906.02768), section 4.1 and Figure 1, and the
          networks of Zaremba et al. (1409.2329), section 4.1
Command   python main.py --config=configs/ptb_lstm.py:small
Command   python main.py --config=configs/ptb_lstm.py:yu
Command   python main.py --config=configs/ptb_lstm.py:zaremba_small
Command   python main.py --config=configs/ptb_lstm.py:zaremba_medium
Data      ptb/train.txt, valid.txt and test.txt below --data_dir: ptb.train.txt, ... of Mikolov's simple-examples.tgz
Cost      `:small` COST; the others are for a GPU
Expected  Tickets beat random tickets at all levels, up to 90 % are pruned without a noticeable loss, and without
          rewinding they are only slightly worse (1906.02768, of WikiText-2). Zaremba's networks come to a test
          perplexity of about 114.5 and 82.7.
"""

from tf_lottery import config as base

ARMS = ('small', 'yu', 'zaremba_small', 'zaremba_medium')


def get_config(arm='small'):
    base.check_arm('configs/ptb_lstm.py', arm, ARMS)
    config = base.defaults()
    config.name = f'ptb_lstm_{arm}'
    config.task = 'language_model'
    own, training = config.language_model, config.training
    own.data = 'ptb'
    training.evaluate_every = '1ep'
    training.checkpoint_every = '1ep'
    if arm == 'small':
        # A quarter of an hour on two cores for what Yu's network takes days for.
        own.vocabulary = 2000
        own.train_share = 0.4
        own.units = 200
        own.dropout = 0.2
        training.length = '4ep'
        training.batch_size = 30
        training.learning_rate = 2e-3
    elif arm == 'yu':
        use_values_of_yu(config)
    else:
        use_values_of_zaremba(config, arm)
    prune_as_yu(config)
    if arm == 'small':
        # Two levels of the paper's at a time.
        config.pruning.fraction = 0.36
        config.pruning.levels = 8
        config.branch_levels = (2, 4, 6)
        config.replicates = 2
    return config


def use_values_of_yu(config):
    """1906.02768, section 4.1, whose code was PyTorch's; initial weights and clipping are not in the paper."""
    own, training = config.language_model, config.training
    own.units = 650
    own.dropout = 0.5
    own.steps = 50
    training.length = '10ep'
    training.batch_size = 30
    training.learning_rate = 1e-3
    training.epsilon = 1e-3
    training.epsilon_outside = True


def use_values_of_zaremba(config, arm):
    """1409.2329, section 4.1: SGD on the loss summed over 35 steps, of which this one is the mean."""
    own, training = config.language_model, config.training
    medium = arm == 'zaremba_medium'
    own.steps = 35
    own.units = 650 if medium else 200
    own.initial = 0.05 if medium else 0.1
    own.dropout = 0.5 if medium else 0.0
    own.dropout_place = 'around' if medium else 'between'
    training.batch_size = 20
    training.optimizer = 'sgd'
    training.learning_rate = 1.0 * own.steps
    training.clip_norm = 5.0 / own.steps
    training.schedule = 'steps'
    length, first, training.drop = (39, 6, 1 / 1.2) if medium else (13, 4, 0.5)
    training.length = f'{length}ep'
    training.milestones = tuple(f'{epoch}ep' for epoch in range(first, length))


def prune_as_yu(config):
    """1906.02768, section 3: a fifth of all weights a level, biases too, whichever are smallest."""
    config.pruning.variables = 'all'
    config.pruning.scope = 'global'
    config.pruning.fraction = 0.2
    config.pruning.levels = 20
    config.pruning.rewind_to = '1ep'
    # The paper does not say whether its random tickets keep the number of weights of each layer, nor what k = 0 is
    # beside: --config.pruning.rewind_to=0it,1ep trains both.
    config.branches = ('ticket', 'random_sparse', 'random_global', 'one_shot')
    config.replicates = 3
