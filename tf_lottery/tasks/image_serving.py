"""How an image classifier is served: numbers, pixels or encoded files in; scores and a label out."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tf_lottery import data
from tf_lottery.data import jpeg
from tf_lottery.tasks.task import CALIBRATION, Serving, Signature, Words

# Images that `serving_jpeg` is verified on, each as a PNG file and as a JPEG file.
_FILES = 50


@dataclasses.dataclass(frozen=True)
class Images:
    """What an image classifier is evaluated on.

    Attributes:
      pixels: uint8 array [n, height, width, channels], as evaluation sees them.
      labels: int array [n], their classes.
      brightest: int, the pixel value that becomes 1.0.
      cropped: bool, whether evaluation sees the square in the centre of a file (`data.jpeg.central_view`), resized;
        else it sees files of the network's size as they are.
    """

    pixels: np.ndarray
    labels: np.ndarray
    brightest: int
    cropped: bool = False

    @functools.cached_property
    def inputs(self):
        """float32 array [n, height, width, channels], as the network takes them."""
        return normalised(self.pixels, self.brightest)

    def accuracy(self, outputs):
        """float, the share of the images whose class has the largest score, of {'outputs': scores [n, classes]}."""
        return float(np.mean(np.argmax(outputs['outputs'], axis=-1) == self.labels))


def serving(settings, network, dataset, validation, data_dir=None):
    """How a classifier of a data set is served, verified on its test set.

    Args:
      settings: a config's `data`.
      network: str, what the network is called.
      dataset: data.Description, of `data.chosen`.
      validation: int, the number of validation examples.
      data_dir: where TFDS keeps data sets.

    Returns:
      Serving.

    Raises:
      UsageError, CorruptFileError: as in `data.examples`.
    """
    train, test = data.examples(settings, dataset, validation, CALIBRATION, data_dir)
    images = Images(test.images, test.labels, dataset.brightest, cropped=dataset.varying)
    files = _served_files(dataset)
    encoded = f', `serving_jpeg` encoded files, {files}.' if files else '.'
    return Serving(
        {'inputs': images.inputs}, {'inputs': normalised(train.images, dataset.brightest)}, ('outputs',),
        images.accuracy, signatures(images),
        {'input': f'image: float32 [n, {", ".join(map(str, dataset.shape))}], pixel values divided by '
                  f'{dataset.brightest}',
         'output': f'logits, probabilities: float32 [n, {dataset.classes}]; label: int64 [n]', 'files': files},
        Words('images', f'Data: `{settings.name}`. Network: `{network}`.',
              f'`serving_images` takes the pixel values as they are, uint8{encoded}',
              'It has {value} of them right.', f'It knows images like those of `{settings.name}`, and no others.'))


def _served_files(dataset):
    """str, what becomes of encoded files, or None where pixels are not of 8 bits."""
    if dataset.brightest != 255:
        return None
    return 'of which it takes the square in the centre, as evaluation does' if dataset.varying else 'resized to fit'


def signatures(images):
    """The signatures of a classifier of images.

      serving_default  `image` float32 [n, height, width, channels], pixel values divided by the brightest;
      serving_images   `image` uint8 [n, height, width, channels], pixel values as they are;
      serving_jpeg     `image_bytes` string [n], JPEG, PNG, GIF or BMP files, as evaluation sees them: of images of
                       varying size the square in the centre, resized, else the whole image, resized where it is of
                       another size; where 255 is the brightest,
    each with the outputs `logits` and `probabilities` float32 [n, classes] and `label` int64 [n].

    Args:
      images: Images that they are verified on.

    Returns:
      {name: Signature}.
    """
    def signature(serve, examples, inputs=None):
        return Signature(functools.partial(serve, images), examples, _scores, inputs, {'label': 'logits'})

    found = {'serving_default': signature(_of_numbers, {'image': images.inputs}),
             'serving_images': signature(_of_pixels, {'image': images.pixels})}
    if images.brightest == 255:
        files = [encode(image).numpy() for image in images.pixels[:_FILES]
                 for encode in (tf.io.encode_png, _encode_jpeg)]
        seen = np.stack([view(file, images).numpy() for file in files])
        found['serving_jpeg'] = signature(
            _of_files, {'image_bytes': np.array(files)}, {'inputs': normalised(seen, images.brightest)})
    return found


def view(content, images):
    """The image in a file as evaluation sees it.

    Args:
      content: scalar string tensor or bytes.
      images: Images.

    Returns:
      [height, width, channels] tensor: uint8, or float32 of the same scale where the file was resized to fit.
    """
    height, width, channels = images.pixels.shape[1:]

    def decoded():
        return tf.io.decode_image(content, channels=channels, expand_animations=False)

    if images.cropped:
        image = tf.cond(tf.io.is_jpeg(content), lambda: jpeg.central_view(content, height, channels),
                        lambda: jpeg.central_view_of_pixels(decoded(), height))
    else:
        image = tf.image.resize(tf.cast(decoded(), tf.float32), (height, width), antialias=True)
    return tf.ensure_shape(image, (height, width, channels))


def normalised(pixels, brightest):
    """float32 array, pixel values divided by the one that becomes 1.0."""
    return pixels.astype(np.float32) / np.float32(brightest)


def _encode_jpeg(image):
    return tf.io.encode_jpeg(image, quality=95)


def _scores(outputs):
    return {'logits': outputs['outputs'], 'probabilities': tf.nn.softmax(outputs['outputs']).numpy()}


def _classify(network, inputs):
    logits = network(inputs, training=False)
    return {'logits': logits, 'probabilities': tf.nn.softmax(logits), 'label': tf.argmax(logits, axis=-1)}


def _of_numbers(images, network):
    @tf.function(input_signature=[tf.TensorSpec([None, *images.pixels.shape[1:]], tf.float32, name='image')])
    def inputs(image):
        return _classify(network, image)

    return inputs


def _of_pixels(images, network):
    @tf.function(input_signature=[tf.TensorSpec([None, *images.pixels.shape[1:]], tf.uint8, name='image')])
    def pixels(image):
        return _classify(network, tf.cast(image, tf.float32) / images.brightest)

    return pixels


def _of_files(images, network):
    # The name ends as TensorFlow Serving wants it of what a REST client sends in base64.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='image_bytes')])
    def files(image_bytes):
        seen = tf.map_fn(lambda content: tf.cast(view(content, images), tf.float32), image_bytes,
                         fn_output_signature=tf.TensorSpec(images.pixels.shape[1:], tf.float32))
        return _classify(network, seen / images.brightest)

    return files
