"""Language modelling: to foretell the next word of a text (Yu et al., 1906.02768; Zaremba et al., 1409.2329)."""

import functools
import math

from ml_collections import config_dict

from tf_lottery import values
from tf_lottery.errors import UsageError
from tf_lottery.models import lstm
from tf_lottery.tasks.measure import Measure, Measures
from tf_lottery.tasks.task import Facts, Task, Weight

ABOUT, READS = 'language modelling', ('training.precision',)


def add_defaults(config):
    """Adds the keys of the task, with their defaults, to a config."""
    own = config.language_model = config_dict.ConfigDict()
    # A folder of train.txt, valid.txt and test.txt below --data_dir, or a data set of TFDS as 'tfds:NAME'.
    own.data = 'ptb'
    # The most frequent so many words, all others being one; None is all of them.
    own.vocabulary = config_dict.placeholder(int)
    # How much of the training text is read, from its start.
    own.train_share = 1.0
    # The LSTM layers, and how many they are.
    own.units = 650
    own.layers = 2
    # The numbers that a word becomes; None is as many as there are units.
    own.embedding = config_dict.placeholder(int)
    # Whether words that come in and scores that come out share one matrix.
    own.tied = False
    # The share of units that is dropped, and where: models/lstm.py.
    own.dropout = 0.5
    own.dropout_place = 'between'
    # All matrices are drawn from U(-initial, initial).
    own.initial = 0.1
    # The words of each row of a step, through which gradients are propagated back.
    own.steps = 50


_COUNT = values.whole(1)

# What each of the keys may hold, alone.
VALUES = {
    'language_model.data': values.text('give a folder below --data_dir, or tfds:NAME'),
    'language_model.vocabulary': values.optional(values.whole(3)),
    'language_model.train_share': values.number(
        lambda share: 0 < share <= 1, 'give the share of the training text that is read, above 0 and at most 1'),
    'language_model.units': _COUNT,
    'language_model.layers': values.whole(1, 100),
    'language_model.embedding': values.optional(_COUNT),
    'language_model.tied': values.switch,
    'language_model.dropout': values.number(
        lambda share: 0 <= share < 1, 'give the share of units that is dropped, below 1 (0.5 in the papers), or 0'),
    'language_model.dropout_place': values.one_of(lstm.PLACES),
    'language_model.initial': values.number(
        lambda width: width > 0, 'give a number above 0 (0.1 and 0.05 in the papers)'),
    # The program that trains has so many steps of the network in it.
    'language_model.steps': values.whole(1, 10_000),
}


# By the natural logarithm, as in 1906.02768, whose figures show it.
PERPLEXITY = Measures((Measure('log_perplexity', 'log-perplexity', digits=3),
                       Measure('perplexity', 'perplexity', digits=2)), 'validation_log_perplexity')


class LanguageModel(Task):
    """Foretells words by an LSTM network.

    Args:
      config: ConfigDict with the keys of `add_defaults`, their values of the kinds of VALUES.
      data_dir: the folder of texts.

    Raises:
      UsageError: the config says what does not fit together.
    """

    measures, logits = PERPLEXITY, True

    def __init__(self, config, data_dir=None):
        self._own, self._training, self._data_dir = config.language_model, config.training, data_dir
        self._embedding = self._own.embedding or self._own.units
        if self._own.tied and self._embedding != self._own.units:
            raise UsageError(f'language_model.embedding is {self._embedding}, and language_model.units is '
                             f'{self._own.units}: leave one of them out, for with language_model.tied they are the '
                             'same.')
        if self._own.dropout_place == 'around' and not self._own.dropout:
            raise UsageError("language_model.dropout_place is 'around', and nothing is dropped: leave it out, or give "
                             'language_model.dropout.')

    @functools.cached_property
    def _size(self):
        from tf_lottery.data import text

        return text.size(*self._source)

    @functools.cached_property
    def _text(self):
        from tf_lottery.data import text

        return text.load(*self._source)

    @property
    def _source(self):
        return self._own.data, self._own.vocabulary, self._own.train_share, self._data_dir

    @property
    def _form(self):
        """The arguments of `lstm.prunable_shapes` but for the last."""
        return self._size.vocabulary, self._own.units, self._own.layers, self._embedding, self._own.tied

    def facts(self, variables='kernels'):
        size, batch, steps = self._size, self._training.batch_size, self._own.steps
        windows = size.train // batch // steps
        if not windows:
            raise UsageError(f'training.batch_size is {batch} and language_model.steps {steps}, and {self._own.data} '
                             f'has {size.train:,} words to train on, fewer than a step takes: give fewer of them.')
        weights = {name: Weight(*known, channels=False) for name, known in lstm.prunable_shapes(
            *self._form, steps, variables).items()}
        return Facts(f'an LSTM of {self._own.layers} x {self._own.units} on {self._own.data}', weights,
                     batch * windows, math.ceil(size.validation / steps), math.ceil(size.test / steps), compiles=False,
                     data=size.digest)

    def network(self, seed):
        return lstm.build(*self._form, self._own.dropout, self._own.dropout_place, self._own.initial, seed,
                          self._training.precision)

    def require_data(self, data_dir=None):
        del data_dir
        # Kept, for the feed reads it.
        _ = self._text

    def feed(self, settings, strategy, data_dir=None):
        from tf_lottery.tasks.text_feed import TextFeed

        return TextFeed(self._text, self._own.steps, self._widths, settings, strategy, self.judge())

    @property
    def _widths(self):
        return lstm.state_widths(self._own.units, self._own.layers)

    def judge(self):
        from tf_lottery.tasks.perplexity import Judge

        return Judge(self.inputs)

    def inputs(self, batch):
        """Returns the words of a batch but for the last, and states: those of the batch, or zeros."""
        import tensorflow as tf

        words = batch['words'][:, :-1]
        return [tf.maximum(words, 0), *(batch['states'] if 'states' in batch else [
            tf.zeros((tf.shape(words)[0], width)) for width in self._widths.values()])]

    def loss(self, network, batch, seed):
        import tensorflow as tf

        from tf_lottery.models import dropout
        from tf_lottery.tasks.perplexity import surprises

        with dropout.drawn_from(seed, batch['step'], batch['row'], self._training.batch_size):
            scores, *after = network(self.inputs(batch), training=True)
        if 'carry' in batch:
            batch['carry'](after)
        loss = tf.reduce_mean(surprises(scores, batch['words'][:, 1:]))
        return loss, loss

    def serving(self, data_dir=None):
        from tf_lottery.tasks import text_serving

        return text_serving.serving(self._text, self._own, self._widths)


def task(config, data_dir=None):
    """Returns the LanguageModel of a config."""
    return LanguageModel(config, data_dir)
