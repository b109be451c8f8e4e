"""The task of the papers: to tell which class an image is of."""

import numpy as np
from ml_collections import config_dict

from tf_lottery import data, models, values
from tf_lottery.data.form import PARTS
from tf_lottery.errors import StorageError, UsageError, in_one_line
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import CLASSIFICATION
from tf_lottery.tasks.task import Facts, Task, Weight

PRECISIONS = ('float32', 'mixed_bfloat16')


def add_defaults(config):
    """Adds the keys of the task, with their defaults, to a config that has a section `training`."""
    config.data = config_dict.ConfigDict()
    config.data.name = 'mnist'
    # Examples taken from the training set; None is the papers' own number for the data set.
    config.data.validation = config_dict.placeholder(int)
    # Augmentation: pad by so many pixels and crop back at random.
    config.data.crop_pixels = 0
    # Augmentation: mirror images left to right at random.
    config.data.flip = False
    # Pixels per side that images are resized to: those in memory, None for their own size; and those of any size, which
    # are cropped at random, None for ImageNet's 224.
    config.data.image_size = config_dict.placeholder(int)
    # What follows is read by data sets in memory. Grey images get three equal channels.
    config.data.three_channels = False
    # One half of the training examples, 'a' or 'b', as of CIFAR-10a and CIFAR-10b (1906.02773); None is all. The seed
    # says which halves.
    config.data.part = config_dict.placeholder(str)
    config.data.part_seed = 0
    # What follows is read by data sets that are streamed from their files (ImageNet), which are cropped and mirrored at
    # random as their papers do. The training and test images that are there, where it is only a sample; None is all
    # that were published.
    config.data.train = config_dict.placeholder(int)
    config.data.test = config_dict.placeholder(int)
    # How many unreadable records are skipped before it is an error.
    config.data.skip_corrupt = 0
    # RandAugment: operations per image, and how strong they are, in [0, 1].
    config.data.rand_augment = 0
    config.data.rand_augment_magnitude = 0.5
    # The alpha of MixUp and of CutMix; with both, each step does one of them.
    config.data.mix_up = 0.0
    config.data.cut_mix = 0.0

    config.model = config_dict.ConfigDict()
    config.model.name = 'lenet_300_100'
    # A Keras model that was trained before, whose weights are W_0: a file of its `save` or its `save_weights`.
    config.model.weights = config_dict.placeholder(str)

    # The share of the label that is spread over all classes (1512.00567, section 7).
    config.training.label_smoothing = 0.0
    config.training.precision = 'float32'


# Below this both numbers that make up a share may be too small for float64, and the share not a number.
_ALPHA = values.number(lambda alpha: alpha == 0 or alpha >= 0.05, 'give its alpha, above 0 (0.2 and 1.0 in their '
                       'papers) and at least 0.05, or 0 to leave it out')
_NAME = values.text('give a name')
_ANY_COUNT = values.optional(values.whole(1))

ABOUT, READS = 'image classification', ()

# What each of the keys may hold, alone.
VALUES = {
    'data.name': _NAME,
    'data.validation': _ANY_COUNT,
    'data.crop_pixels': values.whole(0),
    'data.flip': values.switch,
    # No JPEG file has more.
    'data.image_size': values.optional(values.whole(1, 65_535)),
    # Of grey images; others have three.
    'data.three_channels': values.switch,
    'data.part': values.optional(values.one_of(PARTS)),
    'data.part_seed': values.whole(0),
    'data.train': _ANY_COUNT,
    'data.test': _ANY_COUNT,
    'data.skip_corrupt': values.whole(0),
    # Each is an operation of its own in the program that reads the images.
    'data.rand_augment': values.whole(0, 100),
    'data.rand_augment_magnitude': values.number(lambda number: 0 <= number <= 1, 'give a number in [0, 1]'),
    'data.mix_up': _ALPHA,
    'data.cut_mix': _ALPHA,
    'model.name': _NAME,
    'model.weights': values.optional(values.text('give the path of a file that Keras has saved')),
    'training.label_smoothing': values.number(
        lambda share: 0 <= share < 1, "give a share below 1 (0.1 in Inception-v3's paper), 0 or more"),
    'training.precision': values.one_of(PRECISIONS),
}


class ImageTask(Task):
    """Classification of images, in memory or streamed from their files, by one of the papers' networks.

    Args:
      config: ConfigDict with the keys of `add_defaults`, their values of the kinds of VALUES.
      data_dir: where TFDS keeps data sets, some of which are described by their own files.

    Attributes:
      dataset: data.Description.

    Raises:
      UsageError: the config names what there is not, or what does not fit together.
    """

    measures, logits = CLASSIFICATION, True

    def __init__(self, config, data_dir=None):
        self._source, self._training = config.data, config.training
        self._name = config.model.name
        self.dataset = data.chosen(config.data, data_dir)
        self._model, self._pretrained = models.find(config.model.name), config.model.weights
        self._require_weights()
        self._validation = self._held_out()
        self._check_crop()

    def _require_weights(self):
        """Refuses weights that are not there."""
        try:
            there = self._pretrained is None or storage.exists(self._pretrained)
        except StorageError as error:
            raise UsageError(f'model.weights is {in_one_line(self._pretrained)}: {error}') from error
        if not there:
            raise UsageError(f'model.weights is {in_one_line(self._pretrained)}, which is not there: give a file '
                             'that save or save_weights of a tf_keras model wrote.')

    def _held_out(self):
        """int, the training examples that are held out to validate on."""
        wish, there = self._source.validation, self.dataset.train
        validation = self.dataset.validation if wish is None else wish
        batch = self._training.batch_size
        if validation < 1 or validation >= there:
            raise UsageError(f'data.validation is {validation}: it must leave a batch of {batch} or more of the '
                             f'{there} training examples of {self._source.name}, and be 1 or more.')
        if there - validation < batch:
            raise UsageError(f'training.batch_size is {batch}, and data.validation={validation} leaves '
                             f'{there - validation} of the {there} training examples of {self._source.name}: give a '
                             'smaller batch, or hold fewer examples out.')
        return validation

    def _check_crop(self):
        pixels, side = self._source.crop_pixels, min(self.dataset.shape[:2])
        if pixels >= side:
            raise UsageError(f'data.crop_pixels is {pixels}: give fewer than {side}, the pixels of a side of '
                             f'{self._source.name}, or crops may hold nothing of their images.')

    def facts(self, variables='kernels'):
        shapes = models.prunable_shapes(self._name, self.dataset.shape, self.dataset.classes, variables)
        half = f', half {self._source.part}' if self._source.part else ''
        return Facts(
            about=f'{self._name} on {self._source.name}{half}',
            weights={name: Weight(*known) for name, known in shapes.items()},
            train=self.dataset.train - self._validation, validation=self._validation, test=self.dataset.test,
            # XLA's convolutions are slow on CPUs.
            compiles=all(len(shape) <= 2 for _, shape, *_ in shapes.values()))

    def network(self, seed):
        return self._model.build(self.dataset.shape, self.dataset.classes, seed, precision=self._training.precision)

    def initial(self, seed):
        network = self.network(seed)
        if self._pretrained:
            from tf_lottery.models import pretrained

            pretrained.assign(network, self._pretrained)
        return network

    def require_data(self, data_dir=None):
        data.require(self._source.name, self.dataset, data_dir)

    def feed(self, settings, strategy, data_dir=None):
        from tf_lottery.tasks.image_stream import StreamFeed
        from tf_lottery.training.feeds import MemoryFeed

        judge = self.judge()
        if self.dataset.streamed:
            return StreamFeed(self._source, self.dataset, self._validation, settings, strategy, judge, data_dir)
        splits = data.load(self._source.name, self._validation, data_dir, data.form(self._source))
        return MemoryFeed({name: examples(getattr(splits, name)) for name in ('train', 'validation', 'test')},
                          settings, strategy, judge, self._augmented(settings.batch_size))

    def _augmented(self, batch_size):
        from tf_lottery.data.augmentation import crop_and_flip

        def augmented(batch, seed):
            return {**batch, 'image': crop_and_flip(batch['image'], self._source.crop_pixels, self._source.flip, seed,
                                                    batch['step'], batch['row'], batch_size)}

        return augmented

    def judge(self):
        from tf_lottery.tasks.cross_entropy import Judge

        return Judge(self.inputs)

    def inputs(self, batch):
        import tensorflow as tf

        return tf.cast(batch['image'], tf.float32) / self.dataset.brightest

    def loss(self, network, batch, seed):
        import tensorflow as tf

        from tf_lottery.models import auxiliary, dropout, randomness
        from tf_lottery.tasks.cross_entropy import mean_cross_entropy

        def mean_loss(logits):
            return mean_cross_entropy(logits, batch, self._training.label_smoothing)

        with (dropout.drawn_from(seed, batch['step'], batch['row'], self._training.batch_size),
              randomness.drawn_from(seed, batch['step']), auxiliary.judged_by(mean_loss)):
            logits = network(self.inputs(batch), training=True)
        loss = mean_loss(logits)
        return loss, loss + tf.add_n(network.losses or [0.0])

    def serving(self, data_dir=None):
        from tf_lottery.tasks import image_serving

        return image_serving.serving(self._source, self._name, self.dataset, self._validation, data_dir)


def task(config, data_dir=None):
    """Returns the ImageTask of a config."""
    return ImageTask(config, data_dir)


def examples(split):
    """A data.Split as feeds have it: dict of `image` uint8 [n, height, width, channels] and `label` int32 [n]."""
    return {'image': np.asarray(split.images), 'label': np.asarray(split.labels)}
