"""Runs SavedModels where there is neither tf_lottery nor Keras 2: a program that `fresh` starts.

    python -I in_tensorflow.py JOB      a JSON file: see `fresh.run`
"""

import json
import pathlib
import sys

import numpy as np

# What a machine that serves the model does not have.
sys.modules['tf_lottery'] = sys.modules['tf_keras'] = None
import tensorflow as tf  # noqa: E402

# An isolated process does not see the files beside its program.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import batches  # noqa: E402
import timing  # noqa: E402


def _tensors(signature, arrays):
    specs = signature.structured_input_signature[1]
    # NumPy has no bfloat16.
    return {name: tf.cast(tf.constant(array), specs[name].dtype) for name, array in arrays.items()}


def _array(tensor):
    if tensor.dtype == tf.string:
        return tensor.numpy().astype('S')
    return (tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor).numpy()


def verify(path, calls, size):
    """Calls each signature of the model on its own inputs; its variables come along, numbered, for names may be equal.
    """
    model = tf.saved_model.load(path)
    answers = {f'variable/{number}/{variable.name}': _array(variable.read_value())
               for number, variable in enumerate(model.variables)
               # A vocabulary stands among them as nothing.
               if variable is not None}
    for name, signature in model.signatures.items():
        parts = [signature(**_tensors(signature, part)) for part in batches.split(calls[name], size)]
        found = batches.join([{key: _array(tensor) for key, tensor in part.items()} for part in parts])
        answers.update({f'{name}/{key}': value for key, value in found.items()})
    return answers


def timed(path, inputs, size):
    """A function without arguments that makes one prediction of each example, and waits for it."""
    signature = tf.saved_model.load(path).signatures['serving_default']
    parts = [_tensors(signature, part) for part in batches.split(inputs, size)]
    return lambda: [output.numpy() for part in parts for output in signature(**part).values()]


def main(job):
    # One thread, as in the other runtime.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    calls = {}
    with np.load(job['inputs']) as file:
        for name in file.files:
            signature, _, argument = name.partition('/')
            calls.setdefault(signature, {})[argument] = file[name]
    answers = {f'{name}/{key}': value for name, path in job['models'].items()
               for key, value in verify(path, calls, job['batch']).items()}
    np.savez(job['answers'], **answers)

    def prepared(path):
        return lambda count: timed(path, {name: array[:count] for name, array in calls['serving_default'].items()},
                                   job['batch'])

    timing.write(job, {name: prepared(path) for name, path in job['timed'].items()}, f'TensorFlow {tf.__version__}')


if __name__ == '__main__':
    with open(sys.argv[1]) as file:
        main(json.load(file))
