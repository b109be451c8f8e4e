"""Runs TFLite files where there is LiteRT and no TensorFlow: a program that `fresh` starts.

    python -I in_litert.py JOB      a JSON file: see `fresh.run`
"""

import importlib.metadata
import json
import pathlib
import sys

import numpy as np

sys.modules['tensorflow'] = sys.modules['tf_lottery'] = None
from ai_edge_litert import interpreter as litert  # noqa: E402

# An isolated process does not see the files beside its program.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import batches  # noqa: E402
import timing  # noqa: E402


def _signature(interpreter):
    """What is known of the inputs and of the outputs: two dicts by name. The runner itself would hold the memory."""
    runner = interpreter.get_signature_runner('serving_default')
    return runner.get_input_details(), runner.get_output_details()


def prepare(path, arrays):
    """An interpreter of LiteRT's defaults, on one thread: function from inputs, of the shapes of `arrays`, to outputs.

    Both are dicts of arrays by the names in the file's signature.
    """
    interpreter = litert.Interpreter(path, num_threads=1)
    sources, targets = _signature(interpreter)
    for name, source in sources.items():
        if -1 in source['shape_signature']:
            interpreter.resize_tensor_input(source['index'], arrays[name].shape)
    interpreter.allocate_tensors()

    def predict(inputs):
        # LiteRT's own LSTM would go on from the state that the last sequence has left.
        interpreter.reset_all_variables()
        for name, source in sources.items():
            interpreter.set_tensor(source['index'], inputs[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(target['index']) for name, target in targets.items()}

    return predict


def fixed_batch(path):
    """int, the batch size that a file is made for, or None if it takes any."""
    sizes = [int(source['shape_signature'][0]) for source in _signature(litert.Interpreter(path))[0].values()]
    return max(sizes) if min(sizes) > 0 else None


def outputs(path, inputs):
    """What a file makes of {argument: array [n, ...]}: {output: array [n, ...]}."""
    parts, found = list(batches.split(inputs, fixed_batch(path))), []
    predict = prepare(path, parts[0])
    for part in parts:
        if len(part[next(iter(part))]) != len(parts[0][next(iter(part))]):
            predict = prepare(path, part)
        found.append(predict(part))
    return batches.join(found)


def timed(path, inputs):
    """A function without arguments that makes one prediction; of each example, if the file takes no more at a time."""
    parts = list(batches.split(inputs, fixed_batch(path) or len(next(iter(inputs.values())))))
    predict = prepare(path, parts[0])
    return lambda: [predict(part) for part in parts]


def main(job):
    with np.load(job['inputs']) as file:
        inputs = {name.partition('/')[2]: file[name] for name in file.files}
    answers = {f'{form}/{name}': value for form, path in job['models'].items()
               for name, value in outputs(path, inputs).items()}
    np.savez(job['answers'], **{name: value.astype('S') if value.dtype == object else value
                                for name, value in answers.items()})

    def prepared(path):
        return lambda count: timed(path, {name: array[:count] for name, array in inputs.items()})

    timing.write(job, {name: prepared(path) for name, path in job['timed'].items()},
                 f'LiteRT {importlib.metadata.version("ai-edge-litert")}, XNNPACK')


if __name__ == '__main__':
    with open(sys.argv[1]) as file:
        main(json.load(file))
