"""Selects Keras 2, the only Keras that TF-MOT prunes, and starts TensorFlow."""

import contextlib
import os
import random
import re
import sys
import tempfile

from tf_lottery.errors import ClusterError, UsageError


def select():
    """Makes `tf.keras` mean Keras 2 (`tf_keras`); call it before TensorFlow is imported.

    Raises:
      UsageError: TensorFlow was imported earlier and has already bound `tf.keras` to Keras 3.
    """
    os.environ['TF_USE_LEGACY_KERAS'] = '1'
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    tensorflow = sys.modules.get('tensorflow')
    keras = getattr(tensorflow, 'keras', None)
    version = getattr(keras, '__version__', '') or ''
    if version.startswith('3'):
        raise UsageError(
            f'tf.keras is already Keras {version}, which TF-MOT cannot prune: '
            'import tf_lottery before tensorflow, or set TF_USE_LEGACY_KERAS=1.')


def require_model(model):
    """Refuses anything but a built Sequential or functional Keras 2 model, saying what to do instead.

    Raises:
      UsageError: `model` is a Keras 3 model, a subclassed model, not a model at all, or has no weights yet.
    """
    import tf_keras

    _look_past_masks()
    kind = type(model)
    if any(base.__module__.split('.')[0] == 'keras' for base in kind.__mro__):
        raise UsageError(
            f'{kind.__name__} is a Keras 3 object, which TF-MOT cannot prune: build the model with tf_keras '
            '(import tf_lottery before tensorflow, then use tf.keras or tf_keras).')
    if not isinstance(model, tf_keras.Model):
        raise UsageError(f'expected a Keras model, got {kind.__name__}: build it with tf_keras.')
    if not (isinstance(model, tf_keras.Sequential) or model._is_graph_network):
        raise UsageError(
            f'{kind.__name__} is a subclassed model, whose layers cannot be wrapped: write it as a Sequential or '
            'functional model, or wrap its layers one by one with tf_lottery.PruneWithMask.')
    if not model.built:
        raise UsageError(
            f'model {model.name!r} has no weights yet: give its first layer an input_shape, or call model.build().')


def _look_past_masks():
    """Lets `submodules` of a model be listed that has recurrent cells with dropout.

    TensorFlow looks into each attribute, and sorts the keys of a mapping: the masks that these cells keep are by graph,
    and graphs have no order.
    """
    import tf_keras
    from tf_keras.src.layers.rnn.dropout_rnn_cell_mixin import DropoutRNNCellMixin

    DropoutRNNCellMixin._TF_MODULE_IGNORED_PROPERTIES = frozenset({
        '_dropout_mask_cache', '_recurrent_dropout_mask_cache',
        *tf_keras.layers.Layer._TF_MODULE_IGNORED_PROPERTIES})


@contextlib.contextmanager
def seeded(seed):
    """Layers that are built inside get the names and weights that a fresh process of this seed would give them.

    Every generator that initialisers may draw from is seeded. Python's and NumPy's go on afterwards as if nothing had
    been, and so do Keras's counters of names; TensorFlow's global seed, which nothing of ours reads, stays set.

    Args:
      seed: int, below 2^32.
    """
    import numpy as np
    import tf_keras
    from tf_keras.src import backend

    python, numpy, counters = random.getstate(), np.random.get_state(), dict(backend.PER_GRAPH_OBJECT_NAME_UIDS)
    tf_keras.backend.reset_uids()
    tf_keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        tf_keras.backend.reset_uids()
        backend.PER_GRAPH_OBJECT_NAME_UIDS.update(counters)


def import_keras_cv():
    """Imports KerasCV, which would greet on the standard output, and returns it."""
    with quiet_start(), contextlib.redirect_stdout(sys.stderr):
        import keras_cv
    return keras_cv


@contextlib.contextmanager
def quiet_start():
    """Keeps what TensorFlow's libraries print while they are loaded off the terminal, unless loading fails.

    They write it before their own log level counts; none of it is something a user can act on.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            yield
        except (UsageError, ClusterError):
            # These say all in a sentence.
            raise
        except BaseException:
            printed.seek(0)
            os.write(terminal, printed.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def argument_names(model):
    """What the inputs of a model are called in signatures, in the order of `model.inputs`.

    'inputs' in a model of one input and one output; else the names of the input layers, with `_` for what cannot be
    part of an identifier.
    """
    if len(model.inputs) == len(model.outputs) == 1:
        return ['inputs']
    names = []
    for name in model.input_names:
        name = re.sub(r'\W', '_', name)
        names.append(name if name not in names else f'{name}_{len(names)}')
    return names


def by_argument(model, inputs):
    """What a model is called with, a structure as it takes it, as {name of `argument_names`: value}."""
    return dict(zip(argument_names(model), model._flatten_to_reference_inputs(inputs), strict=True))
