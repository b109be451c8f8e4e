"""An LSTM language model on WikiText-2, with all the values of the paper.

Paper     Playing the lottery with rewards and multiple languages (1906.02768), section 4.1 and Figure 1
Command   python main.py --config=configs/wikitext2_lstm.py
Data      wikitext2/train.txt, valid.txt and test.txt below --data_dir: wiki.train.tokens, ... of wikitext-2-v1.zip
Cost      For a GPU
Expected  Tickets beat random tickets at all levels, up to 90 % are pruned without a noticeable loss, without rewinding
          they are only slightly worse, and one-shot pruning is worse than random tickets past 80 %.
"""

from tf_lottery import config as base
from tf_lottery.configs import ptb_lstm


def get_config():
    config = base.defaults()
    config.name = 'wikitext2_lstm'
    config.task = 'language_model'
    config.language_model.data = 'wikitext2'
    config.training.evaluate_every = '1ep'
    config.training.checkpoint_every = '1ep'
    ptb_lstm.use_values_of_yu(config)
    ptb_lstm.prune_as_yu(config)
    return config
