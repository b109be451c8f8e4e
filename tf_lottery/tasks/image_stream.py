"""Images that are read from their files as they are needed."""

import contextlib
import functools

import tensorflow as tf

from tf_lottery.data.streaming import ImageStream, splits
from tf_lottery.errors import UsageError
from tf_lottery.runtime import keras2, storage
from tf_lottery.runtime.distribute import per_replica
from tf_lottery.training.evaluation import StreamEvaluator
from tf_lottery.training.feeds import Feed


class StreamFeed(Feed):
    """Images of their files, read by each host its own; its methods are those of `feeds.MemoryFeed`.

    Args:
      source: config.ConfigDict, a config's `data`.
      dataset: data.Description of it.
      validation: int, how many training images are held out to validate on.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.
      judge: evaluation.Judge.
      data_dir: where TFDS keeps data sets.

    Attributes:
      examples, hosts, steps_per_epoch, blocks: as of MemoryFeed.

    Raises:
      UsageError: the data set is not there, or has not as many images as the config says.
    """

    blocks = False

    def __init__(self, source, dataset, validation, settings, strategy, judge, data_dir=None):
        self._settings, self._strategy, self._judge = settings, strategy, judge
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

        names = splits(dataset, validation)
        self._streams = {name: streams(split) for name, split in names.items()}
        self._alone = streams(names['train'], hosts=1)(0)
        self._here = [context.input_pipeline_id for context in contexts]
        self.examples = self._alone.examples
        self.steps_per_epoch = self._alone.steps_per_epoch
        for key, split, found in (('train', 'training', self.examples + validation),
                                  ('test', 'test', self._streams['test'](0).examples)):
            expected = getattr(dataset, key)
            if found != expected:
                raise UsageError(f'{source.name} has {found:,} {split} images in its folder, not {expected:,}: give '
                                 f'--config.data.{key}={found} to train on a sample, or prepare all of it.')
        self._augmentation = {'mix_up': source.mix_up, 'cut_mix': source.cut_mix,
                              'crop_pixels': source.crop_pixels, 'flip': source.flip}
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
        return {name: StreamEvaluator(network, self._evaluation(name), self._judge, self._settings.jit, self._strategy,
                                      self._evaluation_explained(name)) for name in ('validation', 'test')}

    def sample(self, count):
        split = self._alone.first(count)
        return {'image': split.images, 'label': split.labels}

    def drawn(self, count):
        # TFDS has shuffled them when it wrote them.
        return self.sample(count)

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
