"""The task of translating sentences by a Transformer (1706.03762), as in 1906.02768."""

from ml_collections import config_dict

from tf_lottery import values
from tf_lottery.data import text_pairs
from tf_lottery.errors import UsageError
from tf_lottery.models import transformer
from tf_lottery.tasks.measure import LOSS, Measure, Measures
from tf_lottery.tasks.task import Facts, Task, Weight

ABOUT, READS = 'translation', ('training.label_smoothing', 'training.precision')


def add_defaults(config):
    """Adds the keys of the task, with their defaults, to a config: a Transformer that two cores train in minutes."""
    config.translation = config_dict.ConfigDict()
    # 'wmt14', or a folder of text files below --data_dir, with train.de, train.en, val.de, ...
    config.translation.data = 'multi30k'
    config.translation.source = 'de'
    config.translation.target = 'en'
    # Sub-words of both languages together.
    config.translation.vocabulary = 3000
    # Training pairs with a sentence of more sub-words are left out.
    config.translation.longest = 256
    # Shapes that the batches have, at most.
    config.translation.buckets = 6
    # The network, as of models/transformer.py.
    config.translation.layers = 2
    config.translation.width = 128
    config.translation.heads = 4
    config.translation.feed_forward = 256
    config.translation.dropout = 0.1
    config.translation.norm = 'post'
    # Whether the matrix is pruned that embeds sub-words and is the output layer; False leaves it dense.
    config.translation.prune_embeddings = True
    # Hypotheses that are kept when the test set is translated; 1 is greedy.
    config.translation.beam = 1


_LANGUAGE = values.text("give the ending of its files, such as 'de'")

# What each of the keys may hold, alone.
VALUES = {
    'translation.data': values.text('give wmt14, or the name of a folder below --data_dir'),
    'translation.source': _LANGUAGE,
    'translation.target': _LANGUAGE,
    # Beside those that are no text.
    'translation.vocabulary': values.whole(8, 1_000_000),
    'translation.longest': values.whole(2, 10_000),
    # XLA compiles a program for each.
    'translation.buckets': values.whole(1, 100),
    'translation.layers': values.whole(1, 1000),
    'translation.width': values.whole(2),
    'translation.heads': values.whole(1),
    'translation.feed_forward': values.whole(1),
    'translation.dropout': values.number(lambda share: 0 <= share < 1, 'give a share below 1, 0 or more'),
    'translation.norm': values.one_of(transformer.NORMS),
    'translation.prune_embeddings': values.switch,
    'translation.beam': values.whole(1, 100),
}

# As many training examples take as long as to translate a sentence, greedily (benchmarks/translation.py).
_TRANSLATED = 3

# Sub-words to a word, by which a plan takes the length of sentences.
_SUBWORDS = 1.5


class TranslationTask(Task):
    """Translation of sentences, judged by BLEU on the test set at the end, and by the loss on the way.

    Args:
      config: ConfigDict with the keys of `add_defaults`, their values of the kinds of VALUES.
      data_dir: the folder of data sets.

    Raises:
      UsageError: the config names what there is not, or what does not fit together.
    """

    logits = True

    def __init__(self, config, data_dir=None):
        self._settings, self._training = config.translation, config.training
        chosen = config.translation
        if chosen.width % chosen.heads or chosen.width % 2:
            raise UsageError(f'translation.width is {chosen.width}, and translation.heads {chosen.heads}: give an even '
                             'width that the heads divide.')
        if chosen.source == chosen.target:
            raise UsageError(f'translation.source and translation.target are both {chosen.source!r}: give two '
                             'languages.')
        self.form = transformer.Form(chosen.vocabulary, chosen.layers, chosen.width, chosen.heads,
                                     chosen.feed_forward, chosen.dropout, chosen.norm)
        self.skip = () if chosen.prune_embeddings else ('embedding',)
        self._described = text_pairs.describe(chosen.data, (chosen.source, chosen.target), data_dir)
        self._corpus = None

    @property
    def measures(self):
        from tf_lottery.tasks import translator

        beam = self._settings.beam
        how = 'greedy' if beam == 1 else f'beam {beam}'
        score = Measure('bleu', 'BLEU', higher=True, digits=2, best=100.0, ends=True,
                        how=f'of {how} translations, {translator.signature()}')
        return Measures((score, LOSS))

    def facts(self, variables='kernels'):
        known = self._described
        shapes = transformer.shapes(self.form, *(
            round(_SUBWORDS * words) + 1 for words in (known.source_words, known.target_words)))
        weights = {name: Weight(*each) for name, each in shapes.items()
                   if (variables == 'all' or len(each[1]) > 1) and name.split('/')[0] not in self.skip}
        settings = self._settings
        return Facts(f'a transformer on {settings.data} {settings.source}-{settings.target}', weights, known.train,
                     known.validation, known.test,
                     # XLA neither pays nor costs, and compiles once for each shape of a batch.
                     compiles=False,
                     closing=_TRANSLATED * settings.beam * (known.validation + known.test))

    def network(self, seed):
        return transformer.build(self.form, seed, self._training.precision)

    def corpus(self, data_dir=None):
        """The text and its sub-words, read once: tasks.corpus.Corpus."""
        from tf_lottery.tasks.corpus import Corpus

        if self._corpus is None:
            self._corpus = Corpus(self._settings, data_dir)
        return self._corpus

    def require_data(self, data_dir=None):
        settings = self._settings
        text_pairs.load(settings.data, (settings.source, settings.target), data_dir)

    def feed(self, settings, strategy, data_dir=None):
        from tf_lottery.tasks.pair_feed import PairFeed
        from tf_lottery.tasks.translator import Translator, bleu

        corpus = self.corpus(data_dir)

        def final(network):
            translator = Translator(self.form, network, corpus.subwords, self._settings.beam, settings.jit)

            def judged(split):
                source, _ = corpus.encoded(split)
                return lambda: {'bleu': bleu(translator(source), corpus.text[split][1])}

            return {split: judged(split) for split in ('validation', 'test')}

        return PairFeed(corpus, self._settings, self._described.train, settings, strategy, self.judge(), final)

    def judge(self):
        from tf_lottery.tasks.token_loss import Judge

        return Judge(self.inputs)

    def inputs(self, batch):
        from tf_lottery.tasks.token_loss import said_before

        return [batch['source'], said_before(batch['target'])]

    def loss(self, network, batch, seed):
        import tensorflow as tf

        from tf_lottery.models import dropout
        from tf_lottery.tasks.token_loss import cross_entropy, tokens

        # What a replica's rows are of the batch: sentences differ in length, so that each counts its own sub-words.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        whole = batch['tokens'][0] / replicas if 'tokens' in batch else tokens(batch['target'])
        with dropout.drawn_from(seed, batch['step'], batch['row'], tf.shape(batch['target'])[0] * replicas):
            logits = network(self.inputs(batch), training=True)
        loss = cross_entropy(logits, batch['target'], self._training.label_smoothing) / whole
        return loss, loss

    def serving(self, data_dir=None):
        from tf_lottery.tasks import translation_serving

        return translation_serving.serving(self.form, self.corpus(data_dir), self._settings)


def task(config, data_dir=None):
    """Returns the TranslationTask of a config."""
    return TranslationTask(config, data_dir)
