"""What a trainer trains and evaluates on: examples in the memory of its devices, or streams of files."""

import contextlib
import functools
import math
import zlib

import numpy as np
import tensorflow as tf

from tf_lottery.data.augmentation import crop_and_flip
from tf_lottery.data.streaming import TEST, ImageStream, training_splits
from tf_lottery.errors import UsageError
from tf_lottery.runtime import keras2, storage
from tf_lottery.runtime.distribute import local_copies, per_replica
from tf_lottery.steps import per_epoch
from tf_lottery.training.evaluation import Evaluator, StreamEvaluator, padded
from tf_lottery.training.order import block_dataset, quiet_options, step_dataset

# Examples that several replicas evaluate at a time.
_BATCH = 1000


class MemoryFeed:
    """Examples that fit into memory, a copy on each device.

    Args:
      splits: data.Splits.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.

    Attributes:
      examples: int, to train on.
      hosts: int, the number of hosts that the order of the examples belongs to: here one order is for any number.
      steps_per_epoch: int.
      blocks: bool, whether an element of `training` is a block of steps, as in `order.block_dataset`.
    """

    hosts = 1

    def __init__(self, splits, settings, strategy):
        self.examples = len(splits.train)
        self.steps_per_epoch = per_epoch(self.examples, settings.batch_size)
        self.blocks = strategy.num_replicas_in_sync == 1
        self._splits, self._settings, self._strategy = splits, settings, strategy
        # Every worker has loaded the data for itself: none of it passes through the strategy.
        self._images, self._labels = (
            local_copies(strategy, array) for array in (splits.train.images, splits.train.labels))

    def training(self, seeds, boundaries, shift):
        """What `fit` takes: the steps from the first boundary to the last, in blocks that end at each.

        Args:
          seeds: trainer.Seeds.
          boundaries: increasing list of int.
          shift: int, by how many steps the examples are ahead of those: 0 unless the number of hosts changed.
        """
        del shift
        sizes = (self.examples, self._settings.batch_size)
        if self.blocks:
            block = min(self._settings.block, self._settings.evaluate_every)
            return block_dataset(seeds.order, boundaries, block, *sizes)
        steps = step_dataset(seeds.order, boundaries[0], boundaries[-1], self._settings.block, *sizes)

        def own(host, hosts):
            rows = self._settings.batch_size // hosts
            return steps.map(lambda element: {
                name: value[host * rows:(host + 1) * rows] for name, value in element.items()})

        return per_replica(self._strategy, own, self._settings.batch_size)

    def batch(self, element, seed):
        """In the training step, the batch of a single step of an element of `training`.

        Args:
          element: dict of `indices` int32 [n], `row` int32 [n] and `step`, an int32 scalar.
          seed: int32 scalar, the augmentation seed.

        Returns:
          The dict with `image` uint8 [n, height, width, channels], augmented, and `label` int32 [n].
        """
        settings = self._settings
        images = crop_and_flip(tf.gather(self._images(), element['indices']), settings.crop_pixels, settings.flip,
                               seed, element['step'], element['row'], settings.batch_size)
        return {**element, 'image': images, 'label': tf.gather(self._labels(), element['indices'])}

    def evaluators(self, network):
        """dict from 'validation' and 'test' to a function that returns the network's loss and accuracy there."""
        splits = {'validation': self._splits.validation, 'test': self._splits.test}
        if self.blocks:
            return {name: Evaluator(network, split, self._settings.brightest, self._settings.jit)
                    for name, split in splits.items()}
        return {name: StreamEvaluator(network, self._batches(split), self._settings.brightest, self._settings.jit,
                                      self._strategy, contextlib.nullcontext) for name, split in splits.items()}

    def _batches(self, split):
        """A split in batches for several replicas, padded so that all have as many."""
        replicas = self._strategy.num_replicas_in_sync
        size = replicas * math.ceil(_BATCH / replicas)
        images, labels = padded(split, size)

        def own(host, hosts):
            batches = tf.data.Dataset.from_tensor_slices({'image': images[host::hosts], 'label': labels[host::hosts]})
            return batches.batch(size // hosts, drop_remainder=True).with_options(quiet_options(tf.data.Options()))

        return per_replica(self._strategy, own, size)

    def sample(self, count):
        """data.Split of so many training examples, not augmented, or of all where there are fewer."""
        return self._splits.train.take(np.arange(min(count, self.examples)))

    def fingerprint(self):
        """Numbers and names that differ where the data do."""
        return [zlib.crc32(np.ascontiguousarray(array))
                for split in (self._splits.train, self._splits.validation, self._splits.test)
                for array in (split.images, split.labels)]

    def explained(self, seeds, step):
        """A context in which what is wrong with the data's files is told in a sentence: these have all been read.

        Args:
          seeds: trainer.Seeds.
          step: function that returns the step whose examples are read next.
        """
        del seeds, step
        return contextlib.nullcontext()


class StreamFeed:
    """Images that are read from their files as they are needed, by each host its own.

    Its methods are those of MemoryFeed.

    Args:
      source: config.ConfigDict, a config's `data`.
      dataset: data.Description of it.
      validation: int, how many training images are held out to validate on.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.
      data_dir: where TFDS keeps data sets.

    Attributes:
      examples, hosts, steps_per_epoch, blocks: as of MemoryFeed.

    Raises:
      UsageError: the data set is not there, or has not as many images as the config says.
    """

    blocks = False

    def __init__(self, source, dataset, validation, settings, strategy, data_dir=None):
        self._settings, self._strategy = settings, strategy
        contexts = []
        # The strategy alone knows how many hosts there are, and which of their inputs this process makes.
        strategy.distribute_datasets_from_function(
            lambda context: contexts.append(context) or tf.data.Dataset.range(1))
        self.hosts = contexts[0].num_input_pipelines

        def streams(split, hosts=self.hosts):
            # Once for all runs: opening one asks the folder for its files.
            @functools.cache
            def open_stream(host):
                return ImageStream(split, settings.batch_size, dataset.shape[0], data_dir, source.name, host, hosts,
                                   source.skip_corrupt)

            return open_stream

        train, held_out = training_splits(validation)
        self._streams = {'train': streams(train), 'validation': streams(held_out), 'test': streams(TEST)}
        self._alone = streams(train, hosts=1)(0)
        self._here = [context.input_pipeline_id for context in contexts]
        self.examples = self._alone.examples
        self.steps_per_epoch = self._alone.steps_per_epoch
        for key, split, found in (('train', 'training', self.examples + validation),
                                  ('test', 'test', self._streams['test'](0).examples)):
            expected = getattr(dataset, key)
            if found != expected:
                raise UsageError(f'{source.name} has {found:,} {split} images in its folder, not {expected:,}: give '
                                 f'--config.data.{key}={found} to train on a sample, or prepare all of it.')
        self._augmentation = {'mix_up': source.mix_up, 'cut_mix': source.cut_mix}
        if source.rand_augment:
            # KerasCV takes seconds to import.
            keras2.import_keras_cv()
            from tf_lottery.data.rand_augment import RandAugment
            self._augmentation['operations'] = RandAugment(source.rand_augment, source.rand_augment_magnitude)

    def training(self, seeds, boundaries, shift):
        start, end = boundaries[0] + shift, boundaries[-1] + shift
        return per_replica(self._strategy, lambda host, hosts: self._streams['train'](host).training(
            seeds.order, seeds.augmentation, start, end, **self._augmentation), self._settings.batch_size)

    def batch(self, element, seed):
        # The stream has drawn its crops from the same seed.
        del seed
        return element

    def evaluators(self, network):
        return {name: StreamEvaluator(network, self._evaluation(name), self._settings.brightest, self._settings.jit,
                                      self._strategy, self._evaluation_explained(name))
                for name in ('validation', 'test')}

    def sample(self, count):
        return self._alone.first(count)

    def fingerprint(self):
        return self._alone.files

    def explained(self, seeds, step):
        # What the pipeline has read ahead is within an epoch of the step that training has come to.
        return _explained(self._alone.folder, lambda: (self._streams['train'](host).unreadable_in_training(
            seeds.order, step(), step() + self.steps_per_epoch) for host in self._here))

    def _evaluation(self, name):
        return per_replica(self._strategy, lambda host, hosts: self._streams[name](host).evaluation(),
                           self._settings.batch_size)

    def _evaluation_explained(self, name):
        return functools.partial(_explained, self._alone.folder, lambda: (
            self._streams[name](host).unreadable_in_evaluation() for host in self._here))


@contextlib.contextmanager
def _explained(folder, look):
    """Looks for the damaged record where TensorFlow says that an operation failed, and raises what says which it is.

    What a remote file system says while the files of a folder are read is a StorageError.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        for found in look():
            if found:
                raise found from error
        raise
    except tf.errors.OpError as error:
        # A bucket that fails names the file; what other workers and devices say does not.
        with storage.one_sentence('read', folder) if folder in str(error) else contextlib.nullcontext():
            raise
