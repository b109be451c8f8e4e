"""The networks for ImageNet and for text train and evaluate in one XLA program each, as a TPU needs it."""

import types

import fake_pairs
import fake_tasks
import fake_texts
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery import models, tasks
from tf_lottery.models import decoding
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask
from tf_lottery.training import optimizers
from tf_lottery.training.trainer import Seeds, Settings, TrainingModel

PIXELS = {'squeezenet': 32, 'resnet50': 32, 'inception_v3': 107}
OPTIMIZERS = {'squeezenet': 'rmsprop', 'resnet50': 'momentum', 'inception_v3': 'momentum'}
BATCH, CLASSES = 4, 10

# Operations that leave the device for the host.
HOST = {'PyFunc', 'EagerPyFunc', 'PyFuncStateless', 'PrintV2', 'Print', 'XlaHostCompute', 'OutfeedEnqueue'}


def operations(concrete):
    """The types of all operations of a concrete function and of the functions that it calls."""
    graph = concrete.graph.as_graph_def()
    return {node.op for nodes in (graph.node, *(function.node_def for function in graph.library.function))
            for node in nodes}


def batch(name, rng):
    images = rng.integers(0, 256, (BATCH, PIXELS[name], PIXELS[name], 3), np.uint8)
    labels, others = rng.integers(0, CLASSES, (2, BATCH)).astype(np.int32)
    return {'image': tf.constant(images), 'label': tf.constant(labels), 'other': tf.constant(others),
            'share': tf.constant(rng.random(BATCH, np.float32)), 'row': tf.range(BATCH), 'step': tf.constant(3)}


def trained(name, precision, jit):
    """What one training step of a network for ImageNet and the evaluation after it come to, as of `taken`."""
    settings = Settings(
        batch_size=BATCH, optimizer=OPTIMIZERS[name], learning_rate=0.01, momentum=0.9, epsilon=1.0, evaluate_every=1,
        checkpoint_every=1, block=1, jit=jit, weight_decay=1e-4)
    task = fake_tasks.Task(None, brightest=255, training__batch_size=BATCH, training__label_smoothing=0.1)
    feed = types.SimpleNamespace(blocks=False, batch=lambda element, seed: element)
    network = models.find(name).build((PIXELS[name], PIXELS[name], 3), CLASSES, 0, precision)
    element = batch(name, np.random.default_rng(0))
    return taken(network, task, feed, settings, element, element)


def taken(network, task, feed, settings, element, evaluated):
    """What one training step and an evaluation after it come to, with half of the weights left.

    Args:
      network: Keras model.
      task, feed, settings: as of TrainingModel.
      element: what the step takes.
      evaluated: the batch that is evaluated.

    Returns:
      (loss, what the step added to each variable, whether each weight is in the mask, sums, types of operations).
    """
    rng, network, jit = np.random.default_rng(0), wrapper.prunable(network), settings.jit
    wrapper.set_mask(network, Mask({key: rng.random(array.shape) < 0.5 for key, array in
                                    wrapper.get_mask(network).items()}))
    for holder in wrapper.wrappers(network).values():
        holder.zeros_held = True
    model = TrainingModel(network, task, feed, settings)
    model.optimizer = optimizers.build(settings.optimizer, 0.01, epsilon=settings.epsilon)
    model.optimizer.build(network.trainable_variables)
    before = wrapper.get_weights(network)
    step = tf.function(model._optimizer_step, jit_compile=jit)
    loss = float(step(element))
    judge = task.judge()
    sums = tf.function(lambda batch: judge.add(network, batch, judge.start()), jit_compile=jit)
    found = sums(evaluated)
    kinds = operations(step.get_concrete_function(element)) | operations(
        sums.get_concrete_function(evaluated))
    added = {key: value.astype(np.float64) - before[key] for key, value in wrapper.get_weights(network).items()}
    return loss, added, wrapper.get_mask(network), [float(value) for value in found], kinds


def error(one, other):
    """The distance of two arrays over the length of the second."""
    return np.linalg.norm(one - other) / (np.linalg.norm(other) or 1)


@pytest.mark.parametrize('name', ['squeezenet', *(
    pytest.param(name, marks=pytest.mark.slow) for name in ('resnet50', 'inception_v3'))])
def test_a_compiled_step_is_the_step(name):
    # In float64, but for images and logits: batch normalisation over a few places makes much of a float32's last bits.
    loss, added, _, sums, kinds = trained(name, 'float64', jit=False)
    compiled_loss, compiled, _, compiled_sums, _ = trained(name, 'float64', jit=True)
    assert not kinds & HOST
    assert compiled_loss == pytest.approx(loss, rel=1e-5)
    assert compiled_sums == pytest.approx(sums, rel=1e-3)
    assert max(error(compiled[key], value) for key, value in added.items()) < 0.02


@pytest.mark.slow
def test_a_step_in_bfloat16_is_near_that_in_float32():
    loss, added, mask, sums, _ = trained('squeezenet', 'float32', jit=True)
    low_loss, low, low_mask, low_sums, _ = trained('squeezenet', 'mixed_bfloat16', jit=True)
    assert low_mask == mask
    # Eight bits of a number are kept: 1 part in 256.
    assert low_loss == pytest.approx(loss, rel=0.01)
    assert low_sums[0] == pytest.approx(sums[0], rel=0.01)
    errors = [error(low[key], value) for key, value in added.items()]
    assert 1e-4 < np.median(errors) < 0.3
    assert all(not low[key][~array].any() for key, array in mask.items())


TEXTS = {'language_model': lambda: fake_texts.settings(language_model__layers=1),
         # A TPU takes batches of one shape.
         'translation': lambda: fake_pairs.settings(translation__buckets=1)}


def trained_on_text(name, texts, jit):
    config = TEXTS[name]()
    task, strategy = tasks.find(config, texts), tf.distribute.get_strategy()
    settings = Settings(batch_size=config.training.batch_size, optimizer='adam', learning_rate=0.01, momentum=0.9,
                        epsilon=1.0, evaluate_every=1, checkpoint_every=1, block=1, jit=jit)
    feed = task.feed(settings, strategy, texts)
    if feed.blocks:
        element = {'indices': tf.range(4), 'row': tf.range(4), 'step': tf.constant(3)}
    else:
        element = next(iter(feed.training(Seeds(0, 1, 2), [3, 4], 0)))
        element = {**element, 'step': element['step'][0]}
    return *taken(task.network(0), task, feed, settings, element, feed.sample(4)), [
        carried.numpy() for carried in feed.state.values()]


@pytest.mark.parametrize('name', ['language_model', pytest.param('translation', marks=pytest.mark.slow)])
def test_a_compiled_step_on_text_is_the_step(name, texts):
    loss, added, _, sums, kinds, carried = trained_on_text(name, texts, jit=False)
    compiled_loss, compiled, _, compiled_sums, _, compiled_carried = trained_on_text(name, texts, jit=True)
    assert not kinds & HOST
    assert compiled_loss == pytest.approx(loss, rel=1e-5)
    assert compiled_sums == pytest.approx(sums, rel=1e-5)
    # The bias of keys changes nothing that is computed: what it gets is what rounding leaves.
    largest = max(np.linalg.norm(value) for value in added.values())
    assert all(np.linalg.norm(compiled[key] - value) < 1e-3 * np.linalg.norm(value) + 1e-5 * largest
               for key, value in added.items())
    assert all(error(*pair) < 1e-5 for pair in zip(compiled_carried, carried, strict=True))


def test_a_compiled_translation_is_the_translation(texts):
    task = tasks.find(TEXTS['translation'](), texts)
    network, source = task.network(0), np.array([[5, 3, 4, 2, 0], [4, 6, 3, 5, 2]], np.int32)
    for variable in network.trainable_variables:
        # So that what it says is no matter of chance in the last digit.
        variable.assign(2 * variable)
    (said, score), (compiled, compiled_score) = (
        tf.function(decoding.search(task.form, network), jit_compile=jit)(source) for jit in (False, True))
    assert np.array_equal(compiled, said)
    assert compiled_score.numpy() == pytest.approx(score.numpy(), rel=1e-4)
