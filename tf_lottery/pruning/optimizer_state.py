"""What an optimizer holds, wherever it keeps it, and how it goes back to what it held before."""

import contextlib

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from tf_lottery.errors import UsageError

OPTIMIZERS = (tf_keras.optimizers.Optimizer, tf_keras.optimizers.legacy.Optimizer)

# Keras lists in these what it keeps in attributes of its own, too.
_LISTS = ('_variables', '_weights')
# These divide their moments by what their age makes of them, and take it from the count of steps.
_CORRECTING = (tf_keras.optimizers.AdamW, *(
    getattr(module, name) for module in (tf_keras.optimizers, tf_keras.optimizers.legacy)
    for name in ('Adam', 'Adamax', 'Nadam')))
# Stands for the value of a weight: what an average over the weights starts from.
_AS_ITS_WEIGHT = object()


def check(optimizer):
    """Refuses what is no Keras optimizer, and one that cannot train a pruned weight.

    Raises:
      UsageError.
    """
    if not isinstance(optimizer, OPTIMIZERS):
        raise UsageError(f'{type(optimizer).__name__} is not an optimizer that can be rewound: compile the model with '
                         'one from tf_keras.optimizers.')
    if any(isinstance(each, tf_keras.optimizers.Adafactor) for each in nested(optimizer)):
        raise UsageError('Adafactor divides 0 by 0 where a row and a column of a weight are pruned, after which it '
                         'holds no number: compile the model with another optimizer.')


def variables(optimizer):
    """All variables that an optimizer holds: those that Keras lists, and what it leaves out, such as a loss scale."""
    listed = list(optimizer.variables)
    known = {id(variable) for variable in listed}
    return [*listed, *(variable for variable in _variables(optimizer).values() if id(variable) not in known)]


def slots(optimizer, weight):
    """The optimizer's variables that belong to each single element of a weight: momenta, moving averages."""
    key = _key(optimizer, weight)
    return [variable for path, variable in _variables(optimizer).items()
            if key in path and variable is not weight and variable.shape == weight.shape]


def state(optimizer, weights=()):
    """Says what an optimizer holds now: {path: numpy array}, for `reset`.

    Args:
      optimizer: a Keras optimizer.
      weights: the tf.Variables whose averages are to start from them again.
    """
    by_key = {_key(optimizer, weight): weight for weight in weights}
    found, averages = {}, set()
    for path, variable in _variables(optimizer).items():
        value = variable.numpy()
        weight = next((by_key[key] for key in path if key in by_key), None)
        if weight is not None and value.shape == weight.shape and np.any(value) and np.array_equal(
                value, weight.numpy()):
            averages.add(path[:-1])
        if value.size and np.all(value == value.flat[0]):
            # Fresh momenta are zeros, millions of them.
            value = np.broadcast_to(value.flat[0], value.shape)
        found[path] = value
    # Where one weight's begins as the weight, those of the others do, though they be zeros as biases are.
    return {path: _AS_ITS_WEIGHT if path[:-1] in averages and path[-1] in by_key else value
            for path, value in found.items()}


def of_no_weight(optimizer):
    """What `state` says of what belongs to no weight: the learning rate, the loss scale, counters."""
    keys = {key for each in nested(optimizer) for key in _weight_keys(each)}
    return {path: variable.numpy() for path, variable in _variables(optimizer).items() if keys.isdisjoint(path)}


def fresh_state(optimizer, weights, taken=0):
    """What `state` would say of a new optimizer of the same configuration, for the weights that this one optimises.

    Args:
      optimizer: a Keras optimizer.
      weights: list of tf.Variable.
      taken: int, how many of the steps that it has taken do not count.

    Raises:
      UsageError: its class does not give a new one.
    """
    counts = _counts(optimizer)
    before = {path: variable.numpy() - taken for path, variable in _variables(optimizer).items()
              if id(variable) in counts}
    known = {key for each in nested(optimizer) for key in _weight_keys(each)}
    weights = [weight for weight in weights if not known or _key(optimizer, weight) in known]
    another = _another(optimizer)
    _build(another, weights)
    return {**state(another, weights), **before}


def reset(optimizer, weights, held, step=None):
    """Puts an optimizer back to what it held, once its weights are back.

    Args:
      optimizer: a Keras optimizer.
      weights: list of tf.Variable that it may optimise; of others nothing changes.
      held: what `state` returned. What has come into being since, as what is added up over several batches does,
        becomes zero.
      step: int, the steps behind it, where the learning-rate schedule goes on; None for those in `held`.

    Raises:
      UsageError: as in `check`.
    """
    check(optimizer)
    counts, by_key = _counts(optimizer), {_key(optimizer, weight): weight for weight in weights}
    others = {key for each in nested(optimizer) for key in _weight_keys(each)} - set(by_key)
    for path, variable in _variables(optimizer).items():
        if not others.isdisjoint(path) or _key(optimizer, variable) in by_key:
            continue
        value = held.get(path)
        if id(variable) in counts and step is not None:
            value = step
        elif value is _AS_ITS_WEIGHT:
            value = next(by_key[key] for key in path if key in by_key)
        elif value is None:
            value = np.zeros(variable.shape)
        variable.assign(tf.cast(value, variable.dtype))
    for each in nested(optimizer):
        if hasattr(each, 'moments_start'):
            each.moments_start.assign(each.iterations)
        elif each.iterations.numpy() and isinstance(each, _CORRECTING):
            logging.warning(
                '%s corrects the bias of its fresh moments as if they were %d steps old, which makes its first '
                'thousand steps after rewinding too long or too short, up to six times those of Adam: compile with '
                'tf_lottery.Adam instead.', type(each).__name__, each.iterations.numpy())


def build(optimizer, weights):
    """Gives an optimizer its variables, as its first step would."""
    check(optimizer)
    if not any(_weight_keys(each) for each in nested(optimizer)):
        _build(optimizer, weights)


def nested(optimizer):
    """Returns an optimizer and those that it wraps, such as the one under a loss scale, from the outside in."""
    found = [optimizer]
    for each in found:
        found += [value for value in vars(each).values()
                  if isinstance(value, OPTIMIZERS) and not any(value is other for other in found)]
    return found


def _variables(optimizer):
    """Returns {path of attributes: tf.Variable} of all that an optimizer and what it is made of hold.

    What an optimizer keeps in a list or dict with an entry per weight has the weight's own key in its path, so that two
    optimizers agree on it whatever the order and number of their weights.
    """
    found, seen = {}, set()

    def visit(value, path, keys):
        if isinstance(value, tf.Variable):
            if id(value) not in seen:
                seen.add(id(value))
                found[path] = value
        elif isinstance(value, dict):
            for name, each in value.items():
                visit(each, (*path, name), keys)
        elif isinstance(value, (list, tuple)):
            by_weight = keys if len(keys) == len(value) else range(len(value))
            for name, each in zip(by_weight, value, strict=True):
                visit(each, (*path, name), keys)
        elif id(value) not in seen and _is_part(value):
            seen.add(id(value))
            attributes = vars(value)
            keys = list(attributes.get('_index_dict', ()))
            for name, each in attributes.items():
                # What TensorFlow tracks, it notes in attributes of this beginning.
                if name not in _LISTS and not name.startswith('_self_'):
                    visit(each, (*path, name), keys)
            for name in _LISTS:
                visit(attributes.get(name, ()), (*path, name), ())

    visit(optimizer, (), ())
    return found


def _is_part(value):
    """Whether an object is a part of an optimizer that may hold variables, and not the model that it trains."""
    kinds = (tf.__internal__.tracking.Trackable, tf_keras.optimizers.schedules.LearningRateSchedule)
    return isinstance(value, kinds) and not isinstance(value, tf.Module)


def _key(optimizer, variable):
    """By what an optimizer knows a weight: of a loss scale's, the one inside."""
    inner = nested(optimizer)[-1]
    return inner._var_key(variable) if hasattr(inner, '_var_key') else variable._unique_id


def _weight_keys(optimizer):
    """The keys of the weights that an optimizer has variables for."""
    return [*getattr(optimizer, '_index_dict', ()), *getattr(optimizer, '_slots', ())]


def _counts(optimizer):
    """The ids of the variables that count steps."""
    return {id(each.iterations) for each in nested(optimizer)}


def _another(optimizer):
    """A new optimizer of the same configuration."""
    try:
        with _without_schedules(optimizer) as schedules:
            another = type(optimizer).from_config(optimizer.get_config())
        for new, schedule in zip(nested(another), schedules, strict=True):
            if schedule is not None:
                new.learning_rate = schedule
        return another
    # Whatever a class of somebody's own raises.
    except Exception as error:
        name = type(optimizer).__name__
        raise UsageError(f'{name} cannot be started anew at each level, since {name}.from_config(get_config()) fails '
                         f'({error}): define get_config() so that it holds every argument of {name}().') from error


@contextlib.contextmanager
def _without_schedules(optimizer):
    """Takes the learning-rate schedules away: somebody's own may have no config. Yields them, or None, by optimizer."""
    places = [(each._hyper, 'learning_rate') if '_hyper' in vars(each) else (vars(each), '_learning_rate')
              for each in nested(optimizer)]
    found = [place.get(name) for place, name in places]
    schedules = [each if isinstance(each, tf_keras.optimizers.schedules.LearningRateSchedule) else None
                 for each in found]
    for (place, name), schedule in zip(places, schedules, strict=True):
        if schedule is not None:
            place[name] = 0.0
    try:
        yield schedules
    finally:
        for (place, name), schedule in zip(places, schedules, strict=True):
            if schedule is not None:
                place[name] = schedule


def _build(optimizer, weights):
    for each in nested(optimizer):
        if isinstance(each, tf_keras.optimizers.legacy.Optimizer):
            if not hasattr(each, '_loss_scale'):
                each._create_all_weights(weights)
        elif not getattr(each, '_built', False) and not hasattr(each, '_loss_scale'):
            each.build(weights)
