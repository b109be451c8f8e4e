"""Runs TFLite files where there is LiteRT and no TensorFlow: a program that `fresh` starts.

    python -I in_litert.py JOB      a JSON file: see `fresh.run`
"""

import importlib.metadata
import json
import sys

import numpy as np

sys.modules['tensorflow'] = sys.modules['tf_lottery'] = None
from ai_edge_litert import interpreter as litert  # noqa: E402

_BATCH = 1000


def prepare(path, shape):
    """An interpreter of LiteRT's defaults, on one thread, for inputs of a shape: function from inputs to outputs."""
    interpreter = litert.Interpreter(path, num_threads=1)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source['index'], shape)
    interpreter.allocate_tensors()

    def predict(inputs):
        interpreter.set_tensor(source['index'], inputs)
        interpreter.invoke()
        return interpreter.get_tensor(target['index'])

    return predict


def outputs(path, inputs):
    """What a file makes of float32 inputs [n, ...]."""
    parts = [inputs[start:start + _BATCH] for start in range(0, len(inputs), _BATCH)]
    return np.concatenate([prepare(path, part.shape)(part) for part in parts])


def timed(path, inputs):
    """A function without arguments that makes one prediction."""
    predict = prepare(path, inputs.shape)
    return lambda: predict(inputs)


def main(job):
    inputs = np.load(job['inputs'])
    np.savez(job['answers'], **{f'{name}/outputs': outputs(path, inputs) for name, path in job['models'].items()})
    sys.path.insert(0, job['here'])
    import timing
    timing.write(job, {name: (lambda n, path=path: timed(path, inputs[:n])) for name, path in job['timed'].items()},
                 f'LiteRT {importlib.metadata.version("ai-edge-litert")}, XNNPACK')


if __name__ == '__main__':
    with open(sys.argv[1]) as file:
        main(json.load(file))
