"""What a training step tells the layers of its network."""

import contextlib


@contextlib.contextmanager
def told(variable, value):
    """Gives a context variable a value inside of the `with`.

    The replicas of a MirroredStrategy are threads that share their layers: what is told to one cannot stand on a layer.

    Args:
      variable: contextvars.ContextVar.
      value: anything.
    """
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
