"""A small Transformer that translates from German to English, on Multi30k.

Paper     Playing the lottery with rewards and multiple languages (1906.02768), Figures 2 and 3, at a size for two cores
Command   python main.py --config=configs/multi30k_transformer.py:all
Command   python main.py --config=configs/multi30k_transformer.py:layers
Cost      For each arm 5 trainings of 1,130 steps: 26 minutes on two cores that others kept busy
Expected  The paper's tickets lose little down to a third of the weights, and random tickets much; with embeddings kept
          whole, random tickets fall faster and winning tickets in about a line (section 4.3).

Below --data_dir, multi30k holds train, val and test_2016_flickr, each in two files that end in .de and .en, as the
authors publish them (https://github.com/multi30k/dataset, task 1, raw). The arm `:all` prunes all weight matrices,
`:layers` those of attention and feed-forward layers only.
"""

from tf_lottery import config as base

ARMS = ('all', 'layers')


def get_config(arm='all'):
    base.check_arm('configs/multi30k_transformer.py', arm, ARMS)
    config = base.defaults()
    config.name = f'multi30k_transformer_{arm}'
    config.task = 'translation'
    config.translation.prune_embeddings = arm == 'all'
    training = config.training
    training.length = '5ep'
    training.batch_size = 128
    training.beta_2 = 0.98
    training.epsilon = 1e-9
    training.learning_rate = 2e-3
    training.schedule = 'inverse_square_root'
    training.warmup = '800it'
    training.label_smoothing = 0.1
    training.evaluate_every = '1ep'
    training.checkpoint_every = '1ep'
    config.pruning.scope = 'global'
    # Two levels of 0.8, four at once: 41 and 16.8 % of the weights.
    config.pruning.fraction = 0.59
    config.pruning.levels = 2
    config.pruning.rewind_to = '200it'
    config.branches = ('ticket', 'random_sparse')
    config.replicates = 1
    return config
