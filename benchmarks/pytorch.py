"""The other side of a comparison with PyTorch, in a process of its own, where there is an interpreter that has it.

It has one thread, and its seconds are of the processor, as ours are: where others use the machine, its threads would
wait for each other by turning, several times as long as one needs for all.
"""

import contextlib
import json
import pathlib
import sys
import tempfile

import numpy as np
from absl import flags
from benchmarks import measure

TORCH_PYTHON = flags.DEFINE_string(
    'torch_python', '', 'A Python interpreter that has torch, to compare with; none leaves the rows out.')

# What is compared: a side, the one that it is held against, how the line calls that, and what is asked for.
_ROWS = (('masked bfloat16', 'masked', 'masked in float32', 'for comparison'),
         ('masked', 'torch', "PyTorch's bare loop, dense", 'at least 1.0'),
         ('masked bfloat16', 'torch bfloat16', "PyTorch's bare loop, dense, in bfloat16", 'for comparison'))


@contextlib.contextmanager
def sides(kind, sizes, batches):
    """The sides of `measure.interleaved` that train the same network in PyTorch: 'torch', and 'torch bfloat16'.

    Args:
      kind: one of text_in_torch.KINDS.
      sizes: dict that its network takes, and `learning_rate`.
      batches: list of dict of int32 arrays, what its loss takes, in this order.
    """
    if not TORCH_PYTHON.value:
        print('No rows against PyTorch: give --torch_python an interpreter that has torch.', file=sys.stderr)
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = pathlib.Path(folder, 'batches.npz')
        np.savez(path, **{f'{name}_{number}': array for number, batch in enumerate(batches)
                          for name, array in batch.items()})
        yield {name: stack.enter_context(measure.elsewhere(
            TORCH_PYTHON.value, 'text_in_torch.py', kind, json.dumps({**sizes, 'bfloat16': bfloat16}), path))
            for name, bfloat16 in (('torch', False), ('torch bfloat16', True))}


def rows(what, units, unit, seconds):
    """Prints the lines of a network.

    Args:
      what: str, its name.
      units: int, what a measurement trains on, in `unit`s.
      seconds: as of `measure.interleaved`: 'masked', 'masked bfloat16', and what `sides` names.
    """
    for side, other, called, asked in _ROWS:
        if other in seconds:
            speeds = ', '.join(measure.rate(units, seconds[name], unit) for name in (side, other))
            measure.row(f'{what}, {side} / {called}, {unit}/s of a core', speeds,
                        measure.ratio(seconds[other], seconds[side]), asked)
