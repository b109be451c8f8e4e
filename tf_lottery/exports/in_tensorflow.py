"""Runs SavedModels where there is neither tf_lottery nor Keras 2: a program that `fresh` starts.

    python -I in_tensorflow.py JOB      a JSON file: see `fresh.run`
"""

import json
import sys

import numpy as np

# What a machine that serves the model does not have.
sys.modules['tf_lottery'] = sys.modules['tf_keras'] = None
import tensorflow as tf  # noqa: E402

_BATCH = 1000


def _call(signature, examples):
    """What a signature makes of an array of examples: dict of arrays."""
    (name,) = signature.structured_input_signature[1]
    parts = [signature(**{name: tf.constant(examples[start:start + _BATCH])})
             for start in range(0, len(examples), _BATCH)]
    return {key: np.concatenate([part[key].numpy() for part in parts]) for key in parts[0]}


def _files(images):
    """Images as PNG files, which lose nothing."""
    return np.array([tf.io.encode_png(image).numpy() for image in images], object)


def verify(path, inputs, images):
    """Calls each signature of the model on its own kind of input; its variables come along."""
    model = tf.saved_model.load(path)
    kinds = {'serving_default': inputs, 'serving_images': images}
    answers = {f'variable/{variable.name}': variable.numpy() for variable in model.variables}
    for name, signature in model.signatures.items():
        examples = _files(images) if name == 'serving_jpeg' else kinds[name]
        answers.update({f'{name}/{key}': value for key, value in _call(signature, examples).items()})
    return answers


def timed(path, inputs):
    """A function without arguments that makes one prediction, and waits for it."""
    signature = tf.saved_model.load(path).signatures['serving_default']
    (name,) = signature.structured_input_signature[1]
    tensor = tf.constant(inputs)
    return lambda: [output.numpy() for output in signature(**{name: tensor}).values()]


def main(job):
    # One thread, as in the other runtime.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    inputs, images = np.load(job['inputs']), np.load(job['examples'])
    answers = {f'{name}/{key}': value for name, path in job['models'].items()
               for key, value in verify(path, inputs, images).items()}
    np.savez(job['answers'], **answers)
    sys.path.insert(0, job['here'])
    import timing
    timing.write(job, {name: (lambda n, path=path: timed(path, inputs[:n]))
                       for name, path in job['timed'].items()}, f'TensorFlow {tf.__version__}')


if __name__ == '__main__':
    with open(sys.argv[1]) as file:
        main(json.load(file))
