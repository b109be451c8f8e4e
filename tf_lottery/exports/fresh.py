"""Runs the forms of an export in processes of their own, which have only what a machine that serves them has."""

import os
import pathlib
import signal
import subprocess
import sys

from tf_lottery.errors import ExportError, UsageError
from tf_lottery.runtime import storage

_HERE = pathlib.Path(__file__).parent
BATCHES = (1, 32)


def run(program, folder, models, calls, batch, timed, seconds, python=None):
    """Runs models in a fresh, isolated process (`python -I`, an empty working directory).

    Args:
      program: 'in_tensorflow' or 'in_litert', a file beside this one.
      folder: pathlib.Path, an empty local folder for what goes to and fro.
      models: {name: path} to run on all examples.
      calls: {signature: {argument: array [n, ...]}}, the examples for each signature.
      batch: int, the batch size that the models are made for, or None if they take any.
      timed: {name: path} to measure the latency of, in the signature 'serving_default'.
      seconds: float, for how long each is measured per batch size; 0 for no measurement.
      python: str, the Python interpreter; None for this one.

    Returns:
      (arrays, latency): a dict from '<name>/<key>' to what the program found, and what `timing.write` wrote.

    Raises:
      ExportError: the process failed.
      UsageError: that Python is not there, or lacks the runtime.
    """
    folder.mkdir()
    (folder / 'empty').mkdir()
    paths = {name: str(folder / name) for name in ('inputs.npz', 'answers.npz', 'latency.json')}
    storage.write_arrays(paths['inputs.npz'], {f'{signature}/{name}': array for signature, arrays in calls.items()
                                               for name, array in arrays.items()})
    count = min((len(array) for array in calls.get('serving_default', {}).values()), default=0)
    job = str(folder / 'job.json')
    storage.write_json(job, {
        **{name.split('.')[0]: path for name, path in paths.items()}, 'batch': batch,
        'models': {name: str(path) for name, path in models.items()},
        'timed': {name: str(path) for name, path in timed.items()} if seconds else {},
        'seconds': seconds, 'batches': [size for size in BATCHES if size <= count and size % (batch or 1) == 0]})
    _call([python or sys.executable, '-I', str(_HERE / f'{program}.py'), job], folder / 'empty')
    return storage.read_arrays(paths['answers.npz']), storage.read_json(paths['latency.json'])


def _call(command, cwd):
    python = command[0]
    # A model is no faster or slower for what this process was told; the GPU may be taken by it.
    environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': '-1'}
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    except OSError as error:
        raise UsageError(f'{python} cannot be started ({error.strerror}): give --config.export.litert_python a Python '
                         'interpreter.') from error
    if done.returncode:
        # What a process that crashed last printed is not why it did.
        why = (f'it ended by {signal.strsignal(-done.returncode)}' if done.returncode < 0 else
               (done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1])
        if 'ai_edge_litert' in why:
            raise UsageError(f'{python} has no LiteRT to verify TFLite files in: install ai-edge-litert there, or give '
                             '--config.export.litert_python a Python interpreter that has it.')
        raise ExportError(f'the export does not run in a fresh process: {why.rstrip(".")}.')
