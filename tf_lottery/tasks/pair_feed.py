"""Pairs of sentences in batches of about as many sub-words each."""

import zlib

import numpy as np
import tensorflow as tf

from tf_lottery.data import buckets
from tf_lottery.data.subwords import SUBWORDS
from tf_lottery.errors import UsageError
from tf_lottery.steps import per_epoch
from tf_lottery.training.evaluation import BatchEvaluator
from tf_lottery.training.feeds import Feed
from tf_lottery.training.order import quiet_options


class PairFeed(Feed):
    """Pairs of sentences; its methods are those of `feeds.MemoryFeed`.

    An element of `training` is a batch of one of a few shapes, those of the buckets: XLA compiles the training step
    once for each, and without XLA one program takes all. A step takes hundreds of times as long as Keras takes to
    start it, so that there is nothing to win by steps in blocks.

    Args:
      corpus: tasks.corpus.Corpus.
      translation: a config's `translation`.
      pairs: int, the training pairs that an epoch's steps are counted by: those that are too long among them.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.
      judge: evaluation.Judge.
      final: function from a network to what `final_evaluators` returns.

    Attributes:
      examples, hosts, steps_per_epoch, blocks: as of MemoryFeed.
      buckets: data.buckets.Buckets.

    Raises:
      UsageError: the text has another number of pairs, or the batches do not divide among the replicas.
    """

    hosts, blocks = 1, False

    def __init__(self, corpus, translation, pairs, settings, strategy, judge, final):
        found = len(corpus.text['train'][0])
        if found != pairs:
            raise UsageError(f'translation.data={translation.data!r} has {found:,} training pairs, not the {pairs:,} '
                             'that were published: let the files be whole, or give their folder another name.')
        self._encoded = {'train': corpus.encoded('train', translation.longest),
                         **{split: corpus.encoded(split) for split in ('validation', 'test')}}
        self.examples, self.steps_per_epoch = pairs, per_epoch(pairs, settings.batch_size)
        self.buckets = buckets.Buckets(*self._encoded['train'], settings.batch_size, self.steps_per_epoch,
                                       translation.buckets)
        self._settings, self._strategy, self._judge, self._final = settings, strategy, judge, final
        self._shapes, self.files = translation.buckets, {SUBWORDS: corpus.model}
        self._replicas = strategy.num_replicas_in_sync
        if self.buckets.unit % self._replicas:
            raise UsageError(f'training.batch_size is {settings.batch_size}, whose sixteenth does not divide among '
                             f'{self._replicas} replicas: give a multiple of {16 * self._replicas}.')
        if isinstance(strategy, tf.distribute.TPUStrategy) and len(self.buckets.buckets) > 1:
            raise UsageError(f'translation.buckets is {translation.buckets}, and a TPU takes batches of one shape: '
                             'give --config.translation.buckets=1.')

    def training(self, seeds, boundaries, shift):
        start, end = boundaries[0] + shift, boundaries[-1] + shift

        def batches():
            number, epoch = None, None
            for place in range(start, end):
                if place // self.steps_per_epoch != number:
                    number = place // self.steps_per_epoch
                    epoch = self.buckets.epoch(seeds.order, number)
                yield place - shift, self.buckets.padded(*epoch[place % self.steps_per_epoch])

        def own(host, hosts):
            """The batches of a host's replicas, in turns."""
            here = self._replicas // hosts

            def elements():
                for step, batch in batches():
                    rows = len(batch['target']) // self._replicas
                    whole = {**batch, 'row': np.arange(len(batch['target']), dtype=np.int32),
                             'step': np.full(len(batch['target']), step, np.int32),
                             'tokens': np.full(len(batch['target']), np.count_nonzero(batch['target']), np.float32)}
                    for replica in range(host * here, (host + 1) * here):
                        yield {name: array[replica * rows:(replica + 1) * rows] for name, array in whole.items()}

            dataset = tf.data.Dataset.from_generator(elements, output_signature=self._signature())
            dataset = dataset.apply(tf.data.experimental.assert_cardinality((end - start) * here))
            return dataset.prefetch(2 * here).with_options(quiet_options(tf.data.Options()))

        if self._replicas == 1:
            return own(0, 1)
        return self._strategy.distribute_datasets_from_function(
            lambda context: own(context.input_pipeline_id, context.num_input_pipelines))

    def _signature(self):
        """What an element is; its sizes are known where there is one bucket."""
        each = self.buckets.buckets
        rows, source, target = ((each[0].rows // self._replicas, each[0].source, each[0].target) if len(each) == 1 else
                                (None, None, None))
        return {'source': tf.TensorSpec([rows, source], tf.int32), 'target': tf.TensorSpec([rows, target], tf.int32),
                'row': tf.TensorSpec([rows], tf.int32), 'step': tf.TensorSpec([rows], tf.int32),
                'tokens': tf.TensorSpec([rows], tf.float32)}

    def batch(self, element, seed):
        del seed
        return element

    def evaluators(self, network):
        signature = dict.fromkeys(('source', 'target'), tf.TensorSpec([None, None], tf.int32))
        return {name: BatchEvaluator(network, self._evaluation(name), self._judge, self._settings.jit, signature)
                for name in ('validation', 'test')}

    def final_evaluators(self, network):
        return self._final(network)

    def _evaluation(self, name):
        """A split in batches, a list of dicts."""
        return [batch for _, batch in buckets.in_order(
            *self._encoded[name], self._settings.batch_size, self._shapes)]

    def sample(self, count):
        return self._padded(range(min(count, len(self._encoded['train'][0]))))

    def drawn(self, count):
        return self._padded(np.random.default_rng(0).permutation(len(self._encoded['train'][0]))[:count])

    def _padded(self, pairs):
        chosen = {name: [sentences[pair] for pair in pairs] for name, sentences in zip(
            ('source', 'target'), self._encoded['train'], strict=True)}
        return {name: buckets.pad(rows, max(map(len, rows))) for name, rows in chosen.items()}

    def fingerprint(self):
        return [zlib.crc32(self.files[SUBWORDS]), *(zlib.crc32(b''.join(sentence.tobytes() for sentence in sentences))
                                for pairs in self._encoded.values() for sentences in pairs)]
