"""A network as a SavedModel, which TensorFlow alone serves and `tf_keras.models.load_model` reads for fine-tuning."""

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.data import jpeg
from tf_lottery.exports import batches, refusal, subject, verify

# Images that `serving_jpeg` is verified on, each as a PNG file and as a JPEG file.
_FILES = 50


def write(exported, folder):
    """Writes a SavedModel, of dynamic batch size unless the network is built for one.

    An image classifier (a subject with `images`) has the signatures
      serving_default  `image` float32 [n, height, width, channels], pixel values divided by the brightest;
      serving_images   `image` uint8 [n, height, width, channels], pixel values as they are;
      serving_jpeg     `image_bytes` string [n], JPEG, PNG, GIF or BMP files, as evaluation sees them: of a streamed
                       data set the square in the centre, resized, else the whole image, resized where it is of another
                       size; where 255 is the brightest,
    each with the outputs `logits` and `probabilities` float32 [n, classes] and `label` int64 [n]. Any other network has
    `serving_default` from the `subject.argument_names` to the `subject.output_names`, in the dtypes that it takes.

    Args:
      exported: subject.Subject.
      folder: str, a local folder.

    Raises:
      UsageError: a SavedModel cannot hold a layer.
    """
    signatures = {'serving_default': subject.signature(exported.network)}
    if exported.images is not None:
        signatures = _of_images(exported.network, exported.images)
    try:
        exported.network.save(folder, save_format='tf', include_optimizer=False, signatures=signatures)
    except OSError:
        raise
    except Exception as error:
        # A layer's own methods are called, which may raise anything.
        raise refusal.after(error, 'saved_model', exported.network) from error


def calls(exported):
    """What the signatures are verified on.

    Returns:
      {signature: (dict of its inputs, dict of what the network in memory makes of them)}.
    """
    images = exported.images
    if images is None:
        return {'serving_default': (exported.inputs, exported.outputs)}
    outputs = _scores(exported.outputs['outputs'])
    found = {'serving_default': ({'image': images.inputs}, outputs),
             'serving_images': ({'image': images.pixels}, outputs)}
    if images.brightest == 255:
        files = [encode(image).numpy() for image in images.pixels[:_FILES]
                 for encode in (tf.io.encode_png, _encode_jpeg)]
        seen = np.stack([view(file, images).numpy() for file in files])
        logits = subject.predict(exported.network, {'inputs': subject.normalised(seen, images.brightest)})['outputs']
        found['serving_jpeg'] = {'image_bytes': np.array(files)}, _scores(logits)
    return found


def keras_reads(exported, folder):
    """bool, whether `tf_keras.models.load_model` makes a model of a folder that predicts what the network predicts."""
    try:
        loaded = tf_keras.models.load_model(folder, compile=False)
        found = subject.predict(loaded, next(batches.split(exported.inputs, subject.batch_size(loaded))))
        return all(verify.is_close(found[name], output[:len(found[name])]) for name, output in exported.outputs.items())
    except Exception:
        # Whatever a layer of the user's raises when it is made again.
        return False


def view(content, images):
    """The image in a file as evaluation sees it.

    Args:
      content: scalar string tensor or bytes.
      images: subject.Images.

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


def _encode_jpeg(image):
    return tf.io.encode_jpeg(image, quality=95)


def _scores(logits):
    return {'logits': logits, 'probabilities': tf.nn.softmax(logits).numpy()}


def _of_images(network, images):
    shape, brightest = images.pixels.shape[1:], images.brightest

    def classify(inputs):
        logits = network(inputs, training=False)
        return {'logits': logits, 'probabilities': tf.nn.softmax(logits), 'label': tf.argmax(logits, axis=-1)}

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.float32, name='image')])
    def inputs(image):
        return classify(image)

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.uint8, name='image')])
    def pixels(image):
        return classify(tf.cast(image, tf.float32) / brightest)

    # The name ends as TensorFlow Serving wants it of what a REST client sends in base64.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='image_bytes')])
    def files(image_bytes):
        seen = tf.map_fn(lambda content: tf.cast(view(content, images), tf.float32), image_bytes,
                         fn_output_signature=tf.TensorSpec(shape, tf.float32))
        return classify(seen / brightest)

    signatures = {'serving_default': inputs, 'serving_images': pixels}
    return {**signatures, 'serving_jpeg': files} if brightest == 255 else signatures
