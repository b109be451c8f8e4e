"""A clone that computes what the model computes: its layers are copied as the objects they are, not built from configs.

A config leaves out what a layer has learnt by `adapt`, what its constructor does not take, and functions that were not
registered. Whatever leads to a variable is copied, so that the clone is a model of its own: layers, the containers in
them, and functions that hold one of these. All else, such as tables and functions of their arguments alone, is shared.
"""

import copy
import functools
import types

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer_utils import TrackableWeightHandler
from tf_keras.src.mixed_precision.autocast_variable import AutoCastVariable, create_autocast_variable
from tf_keras.src.utils.object_identity import ObjectIdentityDictionary

from tf_lottery.errors import UsageError, reason
from tf_lottery.pruning import constraint
from tf_lottery.runtime import keras2

_tracking = tf.__internal__.tracking
# What Keras notes of the calls of a layer: they make up the graph of a model, and a clone has its own.
_CALLS = ('_inbound_nodes_value', '_outbound_nodes_value')


def clone(model, instead=None):
    """Clones a model with the state of all its layers, whatever their class; what two layers share stays shared.

    Args:
      model: a built Sequential or functional `tf_keras` model, nested models included. It is not changed.
      instead: mapping from layers, those of nested models too, to the new layers that stand in their place.

    Returns:
      A new model of the same class with the same names, dtypes and values, not compiled.

    Raises:
      UsageError: a Keras 3 or subclassed model, one without weights yet or with a loss that no layer computes, or a
        layer that cannot be copied.
    """
    return _Copies(instead or {}).of_model(model)


def models(model):
    """Returns the model and the models nested in its graph, each once; raises what `require_layers_only` raises."""
    require_layers_only(model)
    found = {id(model): model}
    for layer in model.layers:
        if isinstance(layer, tf_keras.Model) and _is_graph(layer):
            found.update({id(each): each for each in models(layer)})
    return list(found.values())


def require_layers_only(model):
    """Refuses a model that is more than its layers: of a class of one's own, or with a loss that no layer computes.

    Raises:
      UsageError: it is, it has no graph of layers, or `keras2.require_model` refuses it.
    """
    keras2.require_model(model)
    if not model._is_graph_network:
        raise UsageError(f'model {model.name!r} has a layer that cannot be called on a symbolic input, and so no '
                         'graph: build it of layers that can.')
    if type(model).__module__.split('.')[0] != 'tf_keras':
        more = f'is a {type(model).__name__}, whose own methods'
    elif model._callable_losses:
        more = 'was given a function by add_loss(), which'
    else:
        return
    raise UsageError(f'model {model.name!r} {more} a copy of its layers would not have: if its graph is all that it '
                     'computes, give tf_keras.Model(model.input, model.output).')


def _is_graph(model):
    return isinstance(model, tf_keras.Sequential) or model._is_graph_network


class _Copies:
    """Copies of one model's objects, by the identity of the originals: none is copied twice."""

    def __init__(self, instead):
        self._made = {}
        for layer, new in instead.items():
            self._keep(layer, new)

    def _keep(self, value, new):
        # The original is kept too, so that nothing else is given its identity.
        self._made[id(value)] = value, new
        return new

    def of_model(self, model):
        require_layers_only(model)
        try:
            new = self._keep(model, tf_keras.models.clone_model(model, clone_function=self._of_layer))
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f'model {model.name!r} cannot be copied ({reason(error)}): call its layers on tensors and '
                             'plain values only.') from error
        # Its setter would set it for all layers, which have their own.
        new._trainable = model._trainable
        return new

    def _of_layer(self, layer):
        try:
            return self._of(layer)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f'layer {layer.name!r}, a {type(layer).__name__}, cannot be copied ({reason(error)}): '
                             'hold in it layers, variables and plain values only.') from error

    def _of(self, value):
        """The copy of a value, or the value itself where it need not be copied."""
        if id(value) in self._made:
            return self._made[id(value)][1]
        if isinstance(value, AutoCastVariable):
            return self._keep(value, create_autocast_variable(self._of(value._variable)))
        if isinstance(value, tf.Variable):
            return self._keep(value, _of_variable(value))
        if isinstance(value, tf_keras.Model) and _is_graph(value):
            return self.of_model(value)
        if isinstance(value, _tracking.AutoTrackable | TrackableWeightHandler):
            return self._of_object(value)
        if isinstance(value, _tracking.TrackableReference):
            return type(value)(value.name, self._of(value.ref))
        if isinstance(value, dict | list | tuple | set | ObjectIdentityDictionary):
            return self._keep(value, self._of_container(value))
        if callable(value) and _leads_to_variables(value, set()):
            return self._of_function(value)
        return value

    def _of_object(self, value):
        new = self._keep(value, type(value).__new__(type(value)))
        is_layer = isinstance(value, tf_keras.layers.Layer)
        # A layer says itself what of it belongs to a thread.
        state = {name: [] if name in _CALLS else self._of(held)
                 for name, held in (value.__getstate__() if is_layer else vars(value)).items()}
        if is_layer:
            new.__setstate__(state)
        else:
            # Past Keras's and TensorFlow's own attribute handling, whose notes are copied as they are.
            vars(new).update(state)
        return new

    def _of_container(self, value):
        if isinstance(value, ObjectIdentityDictionary):
            new = ObjectIdentityDictionary()
            for key, held in value.items():
                new[self._of(key)] = self._of(held)
            return new
        if isinstance(value, dict):
            new = copy.copy(value)
            new.update({key: self._of(held) for key, held in value.items()})
            return new
        held = [self._of(each) for each in value]
        if hasattr(value, '_fields'):
            return type(value)(*held)
        # TensorFlow's wrapper around a tuple takes a tuple.
        return type(value)(tuple(held) if isinstance(value, tuple) else held)

    def _of_function(self, value):
        if isinstance(value, types.MethodType):
            return types.MethodType(self._of(value.__func__), self._of(value.__self__))
        if isinstance(value, functools.partial):
            return functools.partial(self._of(value.func), *self._of(value.args), **self._of(value.keywords))
        if isinstance(value, tf.types.experimental.PolymorphicFunction):
            return self._keep(value, value._clone(self._of(value.python_function)))
        cells = tuple(types.CellType() for _ in value.__closure__ or ())
        new = self._keep(value, types.FunctionType(value.__code__, value.__globals__, value.__name__, closure=cells))
        vars(new).update(vars(value))
        new.__defaults__, new.__kwdefaults__ = self._of(value.__defaults__), self._of(value.__kwdefaults__)
        for cell, old in zip(cells, value.__closure__ or (), strict=True):
            cell.cell_contents = self._of(old.cell_contents)
        return new


def _of_variable(variable):
    """A variable with the same value, of the strategy whose scope this is in, which need not be the original's.

    What is zero under the original's mask is free: a mask is of one variable.
    """
    return tf.Variable(variable.numpy(), variable.trainable, name=variable.name.split(':')[0], dtype=variable.dtype,
                       constraint=constraint.own(variable), synchronization=variable.synchronization,
                       aggregation=variable.aggregation, shape=variable.shape)


def _leads_to_variables(value, seen):
    """Whether a function holds, in its closure or otherwise, what is copied because of its variables."""
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, tf.Variable | _tracking.AutoTrackable):
        return True
    return any(_leads_to_variables(part, seen) for part in _parts(value))


def _parts(value):
    """What a function or a container holds."""
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, tf.types.experimental.PolymorphicFunction):
        return [value.python_function]
    if isinstance(value, types.FunctionType):
        return [value.__defaults__, value.__kwdefaults__, *(cell.cell_contents for cell in value.__closure__ or ())]
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple | set) else []
