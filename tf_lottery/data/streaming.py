"""Images that do not fit into memory: batches whose order and augmentation are functions of (seed, step).

Every host reads its own part of the files. An epoch takes the files in a random order, several at a time, through a
window in which records are shuffled; what has been trained on is skipped before it is decoded.
"""

import copy
import functools
import math
import os

import numpy as np
import tensorflow as tf

from tf_lottery.data import Split, describe, jpeg, mixing
from tf_lottery.data.augmentation import crop_and_flip
from tf_lottery.data.catalogue import prepared, without_label
from tf_lottery.errors import CorruptFileError, UsageError, reason
from tf_lottery.runtime import storage
from tf_lottery.steps import per_epoch
from tf_lottery.training.order import quiet_options

# Files that are read at the same time, and records that are shuffled at a time: about 450 MB of ImageNet.
_READERS = 16
_WINDOW = 4096

# Bytes that each reader asks its file for at a time: what suits object storage.
_READ_AHEAD = 4 << 20

# Each training example draws from so many streams of random numbers.
_STREAMS = 3
_CROP, _FLIP, _OPERATIONS = range(_STREAMS)


def splits(dataset, validation):
    """What to read of a data set.

    Args:
      dataset: data.Description.
      validation: int, how many training images are held out to validate on: the first ones.

    Returns:
      dict from 'train', 'validation' and 'test' to the name of the split in TFDS.
    """
    training, test = dataset.splits
    end = training.removeprefix('train').strip('[:]')
    return {'train': f'train[{validation}:{end}]', 'validation': f'train[:{validation}]', 'test': test}


class ImageStream:
    """One host's part of a split of a TFDS data set.

    Images of one size come as they are. Of images of any size training sees random crops and evaluation the centre,
    both resized to a square.

    Args:
      split: str, a TFDS split such as 'train', 'validation' or 'train[10000:]'.
      batch_size: int, examples per step over all hosts.
      image_size: int, pixels per side, where images are of any size.
      data_dir: where TFDS keeps data sets, a folder or 'gs://...'; None for `TFDS_DATA_DIR`.
      name: str, the data set, as `data.describe` knows it.
      host, hosts: int, which of how many hosts this is: TFDS gives each its own even share of the split's records.
      skip_corrupt: int, how many unreadable records are skipped, in each dataset made here, before it is an error.

    Attributes:
      examples: int, in the split, over all hosts.
      steps_per_epoch: int, whole batches only.
      folder: str, where the files of the data set are.

    Raises:
      UsageError: the data set is not there, or the batch does not divide among the hosts.
    """

    def __init__(self, split, batch_size, image_size, data_dir=None, name='imagenet2012', host=0, hosts=1,
                 skip_corrupt=0):
        import tensorflow_datasets as tfds

        if batch_size % hosts:
            raise UsageError(f'training.batch_size is {batch_size}, which does not divide among {hosts} hosts: give a '
                             'multiple of their number.')
        dataset = describe(name, data_dir)
        source = prepared(name, data_dir)
        there = source.info.splits
        try:
            self.examples = there[split].num_examples
            shares = [there[share] for share in tfds.even_splits(split, hosts)]
        except (KeyError, ValueError) as error:
            raise UsageError(f'{name} has no split {split!r} ({error}): give one such as "train[10000:]".') from error
        self.steps_per_epoch = per_epoch(self.examples, batch_size)
        self._files = shares[host].file_instructions
        self._examples = shares[host].num_examples
        self._most = max(share.num_examples for share in shares)
        self._batch_size, self._own_batch = batch_size, batch_size // hosts
        self._name, self._split = name, split
        self._host, self._limit = host, skip_corrupt
        height, width, self._channels = dataset.shape
        self._varying = dataset.varying
        self._extent = (image_size, image_size) if dataset.varying else (height, width)
        image, label = dataset.features
        self._features = {'image': image, 'label': label}
        self.folder = str(source.data_dir)
        there = set(storage.list_folder(self.folder))
        for file in self._files:
            if os.path.basename(file.filename) not in there:
                raise CorruptFileError(f'{file.filename} is missing: prepare the data set again.')

    def training(self, order_seed, augmentation_seed, start, end, operations=None, mix_up=0.0, cut_mix=0.0,
                 crop_pixels=0, flip=False):
        """The batches of consecutive steps, this host's rows of each.

        Every epoch draws each record of this host's share at most once; what is left over after the last whole batch is
        dropped, others in each epoch. For a given number of hosts a batch depends on the seeds and the step alone.

        Args:
          order_seed, augmentation_seed: int.
          start, end: int, the first step and the one after the last.
          operations: function from (image, seed) to an image, such as a `RandAugment`, after the crop; or None.
          mix_up, cut_mix: float, their alpha, as in `mixing`; 0 leaves it out. With both, each step does one of them.
          crop_pixels, flip: of images of one size, as in `augmentation.crop_and_flip`, before they are mixed: the same
            draws as of images in memory.

        Returns:
          tf.data.Dataset of dicts with `image` uint8 [rows, height, width, channels], `label` int32 [rows], `row` int32
          [rows] (the places in the whole batch) and `step` int32 [rows] (the same number in each); where images are
          mixed, `other` int32 [rows] and `share` float32 [rows] too. A record that is skipped is replaced by another
          image of its batch.
        """
        def view(number, content):
            step, row = number // self._own_batch, self._host * self._own_batch + number % self._own_batch
            draw = (step * self._batch_size + row) * _STREAMS
            seeds = [tf.stack([tf.constant(augmentation_seed, tf.int64), draw + stream]) for stream in range(_STREAMS)]
            image = self._random_view(content, seeds[_CROP], seeds[_FLIP]) if self._varying else self._decoded(content)
            return operations(image, seeds[_OPERATIONS]) if operations else image

        rows = self._host * self._own_batch + np.arange(self._own_batch, dtype=np.int32)

        mixers = [functools.partial(mixer, alpha=alpha)
                  for mixer, alpha in ((mixing.mix_up, mix_up), (mixing.cut_mix, cut_mix)) if alpha]

        def finished(number, batch):
            step = tf.cast(number, tf.int32)
            batch = {**batch, 'image': crop_and_flip(batch['image'], crop_pixels, flip, augmentation_seed, step, rows,
                                                     self._batch_size)}
            if mixers:
                # Below 0, where no example draws; each host mixes its own images.
                drawn = -1 - (number * self._batch_size + rows[0])
                coin, seed = tf.unstack(tf.random.experimental.stateless_split(
                    tf.stack([tf.constant(augmentation_seed, tf.int64), drawn]), 2))
                first = tf.random.stateless_uniform([], coin, maxval=len(mixers), dtype=tf.int32) == 0
                batch = tf.cond(first, lambda: mixers[0](batch, seed=seed), lambda: mixers[-1](batch, seed=seed))
            return {**batch, 'row': rows, 'step': tf.fill(rows.shape, step)}

        batches = self._viewed(self._ordered(order_seed, start, end), view).batch(self._own_batch, drop_remainder=True)
        if self._limit:
            batches = batches.map(_without_gaps)
        return _ready(batches.enumerate(start).map(finished), end - start)

    def evaluation(self):
        """All examples of this host's share once, in the order of the files, padded to whole batches.

        Returns:
          tf.data.Dataset of dicts with `image` uint8 [rows, height, width, channels] and `label` int32 [rows], -1 where
          an image does not count: padding, so that all hosts have as many batches, or a record that is skipped.
        """
        def view(number, content):
            del number
            return self._central_view(content) if self._varying else self._decoded(content)

        steps = math.ceil(self._most / self._own_batch)
        padding = tf.data.Dataset.from_tensors(self._nothing()).repeat()
        examples = self._viewed(self._in_order().enumerate(), view).concatenate(padding).take(steps * self._own_batch)
        return _ready(examples.batch(self._own_batch, drop_remainder=True), steps)

    @property
    def files(self):
        """list of (name, first record, number of records): what this host reads."""
        return [(os.path.basename(file.filename), file.skip, file.take) for file in self._files]

    def first(self, count):
        """The first images of this host's share as evaluation sees them, in memory.

        Args:
          count: int, how many; fewer where there are fewer.

        Returns:
          Split.
        """
        images, labels = [], []
        for batch in self.evaluation().take(math.ceil(count / self._own_batch)):
            counted = batch['label'] >= 0
            images.append(batch['image'][counted].numpy())
            labels.append(batch['label'][counted].numpy())
        return Split(np.concatenate(images)[:count], np.concatenate(labels)[:count])

    def unreadable_in_training(self, order_seed, start, end):
        """Why the batches of these steps ended in an error of TensorFlow's: reads them again, record by record.

        Args:
          order_seed, start, end: as in `training`.

        Returns:
          CorruptFileError about the first record that cannot be read, or UsageError about an image without a label, to
          raise; None where there is none.
        """
        return self._unreadable(lambda lenient: lenient._ordered(order_seed, start, end))

    def unreadable_in_evaluation(self):
        """As `unreadable_in_training`, for the batches of `evaluation`."""
        return self._unreadable(lambda lenient: lenient._in_order().enumerate())

    def _unreadable(self, numbered):
        lenient = copy.copy(self)
        lenient._limit = lenient.examples
        for _, (file, (record, content)) in numbered(lenient):
            path = self._files[int(file)].filename
            try:
                # What the records of a damaged file are replaced by has lost the reason.
                if not content.numpy():
                    list(tf.data.TFRecordDataset(path))
                    raise UsageError('the file ends before it')
                label = self._example(content, self._decoded)['label']
            except (tf.errors.OpError, UsageError) as error:
                return CorruptFileError(
                    f'record {int(record)} of {path} cannot be read ({reason(error)}): prepare the data set '
                    'again, or skip such records with data.skip_corrupt.')
            if label < 0:
                return without_label(self._name, int(label), self._split)
        return None

    def _ordered(self, order_seed, start, end):
        """The records of this host's rows of the steps, numbered from the first one of step 0 on."""
        first = start // self.steps_per_epoch
        seen = start % self.steps_per_epoch * self._own_batch

        def epoch_records(epoch):
            # Skipped as they come from the files: nothing of them has been decoded.
            return self._epoch(order_seed, epoch).take(self.steps_per_epoch * self._own_batch).skip(
                tf.where(epoch == first, tf.constant(seen, tf.int64), 0))

        epochs = tf.data.Dataset.range(first, (end - 1) // self.steps_per_epoch + 1)
        return epochs.flat_map(epoch_records).enumerate(start * self._own_batch).take((end - start) * self._own_batch)

    def _epoch(self, order_seed, epoch):
        """The records of this host's share, shuffled: a function of (seed, epoch)."""
        seed = tf.constant(order_seed, tf.int64)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(self._files)), seed=tf.stack([seed, epoch]))
        files = tf.data.Dataset.from_tensor_slices(
            {name: tf.gather(column, order) for name, column in self._columns().items()})
        records = files.interleave(self._records, cycle_length=_READERS, block_length=1, num_parallel_calls=_READERS,
                                   deterministic=True)
        # `Dataset.shuffle` would mix TensorFlow's global seed in. Two zeros would stand for a seed of the clock.
        columns = tf.nest.flatten(records.element_spec)
        shuffled = tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(records), buffer_size=_WINDOW, seed=seed, seed2=epoch + 1,
            output_types=[column.dtype for column in columns], output_shapes=[column.shape for column in columns],
            reshuffle_each_iteration=False)
        return tf.data.experimental.from_variant(shuffled, records.element_spec)

    def _in_order(self):
        return tf.data.Dataset.from_tensor_slices(self._columns()).flat_map(self._records)

    def _columns(self):
        """What is to be read of each file of this host's share."""
        return {'file': np.arange(len(self._files)), 'path': [file.filename for file in self._files],
                'skip': np.array([file.skip for file in self._files], np.int64),
                'take': np.array([file.take for file in self._files], np.int64)}

    def _records(self, file):
        """The records of a file: (number of the file, (number of the record in it, content)).

        Where some may be skipped, they are empty from the first one on that cannot be read.
        """
        records = tf.data.TFRecordDataset(file['path'], buffer_size=_READ_AHEAD)
        if self._limit:
            records = records.ignore_errors().concatenate(tf.data.Dataset.from_tensors(b'').repeat())
        # Zipped, for a map would call a function for every record.
        return tf.data.Dataset.zip((tf.data.Dataset.from_tensors(file['file']).repeat(),
                                    records.enumerate().skip(file['skip']).take(file['take'])))

    def _nothing(self):
        return {'image': tf.zeros([*self._extent, self._channels], tf.uint8), 'label': tf.constant(-1)}

    def _decoded(self, content):
        """The image of a file, whole."""
        image = tf.io.decode_image(content, self._channels, expand_animations=False)
        return tf.ensure_shape(image, [*((None, None) if self._varying else self._extent), self._channels])

    def _random_view(self, content, *seeds):
        size = self._extent[0]
        return tf.cond(tf.io.is_jpeg(content), lambda: jpeg.random_view(content, size, *seeds, self._channels),
                       lambda: jpeg.random_view_of_pixels(self._decoded(content), size, *seeds))

    def _central_view(self, content):
        size = self._extent[0]
        return tf.cond(tf.io.is_jpeg(content), lambda: jpeg.central_view(content, size, self._channels),
                       lambda: jpeg.central_view_of_pixels(self._decoded(content), size))

    def _example(self, content, view):
        """What is in a record: dict of `image`, what `view` makes of the file's content, and `label`, int32 scalar."""
        types = {'image': tf.string, 'label': tf.int64}
        found = tf.io.parse_single_example(content, {
            name: tf.io.FixedLenFeature([], types[feature]) for feature, name in self._features.items()})
        image, label = (found[self._features[feature]] for feature in types)
        return {'image': view(image), 'label': tf.cast(label, tf.int32)}

    def _viewed(self, numbered, view):
        """Decodes records in parallel into dicts with `image` and `label`, those that are skipped into `_nothing`."""
        def example(number, record):
            _, (_, content) = record
            found = self._example(content, functools.partial(view, number))
            with tf.control_dependencies([tf.debugging.Assert(found['label'] >= 0, ['an image without a label'])]):
                return {**found, 'label': tf.identity(found['label'])}

        # More at a time than there are cores, so that none waits for the one image that comes next.
        at_once = 4 * os.cpu_count()
        if not self._limit:
            return numbered.map(example, num_parallel_calls=at_once, deterministic=True)

        names = tf.constant([os.path.basename(file.filename) for file in self._files])

        def attempt(number, record):
            # The one way to catch an error inside of a pipeline; it takes a fifth more time, and so is not the default.
            file, (place, _) = record
            tried = tf.data.Dataset.from_tensors((number, record)).map(example).ignore_errors()
            tried = tried.concatenate(tf.data.Dataset.from_tensors(self._nothing())).take(1)
            return tried.map(lambda found: (found, names[file], place))

        def counted(skipped, attempted):
            found, name, record = attempted

            def skip():
                said = tf.strings.join(['record ', tf.strings.as_string(record), ' of ', name, ' cannot be read'])
                tf.debugging.Assert(skipped < self._limit, [
                    said, f'and data.skip_corrupt={self._limit} records have been skipped before it'])
                tf.print(said + ' and is skipped')
                return skipped + 1

            return tf.cond(found['label'] < 0, skip, lambda: skipped), found

        tried = numbered.interleave(attempt, cycle_length=at_once, block_length=1, num_parallel_calls=at_once,
                                    deterministic=True)
        return tried.scan(tf.constant(0), counted)


def _without_gaps(batch):
    """Another image of the batch, with its label, in the place of each that is marked by a label of -1."""
    readable = tf.where(batch['label'] >= 0)[:, 0]
    places = tf.range(tf.size(batch['label'], tf.int64))
    source = tf.where(batch['label'] >= 0, places, tf.gather(readable, places % tf.size(readable, tf.int64)))
    return {key: tf.gather(value, source) for key, value in batch.items()}


def _ready(batches, steps):
    options = quiet_options(tf.data.Options())
    # The files of a host are its own already.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2).with_options(options)
