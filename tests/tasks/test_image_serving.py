"""How an image classifier is served."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.data import jpeg
from tf_lottery.errors import ExportError
from tf_lottery.exports import fresh, saved_model, verify
from tf_lottery.exports.subject import Subject
from tf_lottery.pruning import wrapper
from tf_lottery.tasks.image_serving import Images, normalised, signatures, view
from tf_lottery.tasks.task import Serving
from tf_lottery.ticket import Mask

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), np.uint8)


def classifier(cropped):
    network = tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(16, 16, 3)),
                                   tf_keras.layers.Dense(3, name='fc')])
    return Subject(network, Mask.ones({'fc/kernel': (768, 3)}), wrapper.get_weights(network),
                   {'outputs': logits(network, IMAGES)},
                   Serving({}, {}, signatures=signatures(Images(IMAGES, np.zeros(7, int), 255, cropped))))


def logits(network, images):
    return normalised(np.asarray(images), 255).reshape(-1, 768) @ network.get_weights()[0]


@pytest.mark.parametrize('cropped', [False, True])
def test_numbers_images_and_files_are_served_as_evaluation_sees_them(tmp_path, cropped):
    subject = classifier(cropped)
    saved_model.write(subject, str(tmp_path / 'model'))
    calls = saved_model.calls(subject)
    found, _ = fresh.run('in_tensorflow', tmp_path / 'fresh', {'it': tmp_path / 'model'},
                         {name: inputs for name, (inputs, _) in calls.items()}, None, {}, 0)
    found = {key.removeprefix('it/'): value for key, value in found.items()}
    expected = {name: outputs for name, (_, outputs) in calls.items()}
    verify.saved_model(subject, found, expected)
    for name in ('serving_default', 'serving_images'):
        np.testing.assert_allclose(found[f'{name}/logits'], logits(subject.network, IMAGES), rtol=1e-4, atol=1e-4)
    # Each image is a PNG file, which loses nothing, and a JPEG file.
    (files, _), served = calls['serving_jpeg'], found['serving_jpeg/logits']
    jpegs = [file for file in files['image_bytes'] if tf.io.is_jpeg(file)]
    pngs = [tf.io.decode_png(file) for file in files['image_bytes'] if not tf.io.is_jpeg(file)]
    assert len(jpegs) == len(pngs) == 7 and np.array_equal(pngs, IMAGES)
    seen = [jpeg.central_view(file, 16) if cropped else tf.io.decode_jpeg(file) for file in jpegs]
    np.testing.assert_allclose(served[1::2], logits(subject.network, seen), rtol=1e-4, atol=1e-4)
    if not cropped:
        np.testing.assert_allclose(served[::2], logits(subject.network, IMAGES), rtol=1e-4, atol=1e-4)
    with pytest.raises(ExportError, match='by its signature serving_jpeg, does not compute'):
        verify.saved_model(subject, {**found, 'serving_jpeg/logits': served[::-1]}, expected)


def test_files_of_any_size_and_format_are_cropped_alike():
    image = np.repeat(np.repeat(IMAGES[0], 4, axis=0), 3, axis=1)
    images = Images(IMAGES, np.zeros(7, int), 255, cropped=True)
    expected = jpeg.central_view(tf.io.encode_jpeg(image, quality=100, chroma_downsampling=False), 16).numpy()
    seen = view(tf.io.encode_png(image), images).numpy()
    assert seen.dtype == np.uint8 and np.abs(seen.astype(int) - expected).max() <= 4
    # Not the whole image.
    whole = view(tf.io.encode_png(image), Images(IMAGES, np.zeros(7, int), 255)).numpy()
    assert np.abs(whole - expected).max() > 50


def test_data_sets_of_other_bits_have_no_files():
    assert list(signatures(Images(IMAGES % 17, np.zeros(7, int), 16))) == ['serving_default', 'serving_images']
