"""What pruning whole channels does to the speed of LiteRT: Conv-2 and ResNet-20 shrunk, on one thread.

    python benchmarks/shrunk_channels.py --seconds=2

Of every layer but the output so many channels are kept, by magnitude. Each network is timed dense and shrunk, in
float32 and int8, in turn in one process that has no TensorFlow: the processor time of the cheapest call. Weights are
random, biases and batch normalisation too, so that channels that are gone leave constants behind.
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np
from absl import app, flags, logging
from tf_lottery.runtime import keras2  # selects Keras 2 before TensorFlow is imported
from tf_lottery import models
from tf_lottery.exports import fresh, shrinking, tflite
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.structure import Channels
from tf_lottery.ticket import Mask

SECONDS = flags.DEFINE_float('seconds', 2, 'For how long each file is timed per batch size.')
SHAPE, CLASSES = (32, 32, 3), 10
DENSITIES = (1, 0.5, 0.25, 0.125)


def pruned(name, density):
    """A network of random weights, of whose channels so many are kept."""
    network, rng = models.find(name).build(SHAPE, CLASSES, 0), np.random.default_rng(0)
    shapes = models.find(name).prunable_shapes(SHAPE, CLASSES)
    weights = wrapper.get_weights(network)
    mask = Channels().keep(
        Mask.ones({weight: shape for weight, (_, shape, _) in shapes.items()}),
        {weight: np.abs(weights[weight].ravel()) for weight in shapes},
        {weight: 0 if group == 'output' else 1 - density for weight, (group, *_) in shapes.items()}, 1)
    weights |= {each: np.abs(rng.normal(1, 0.1, array.shape)) if each.endswith(('variance', 'gamma')) else
                rng.normal(0, 0.1, array.shape) for each, array in weights.items() if each not in shapes}
    for each, variable in wrapper.variables(network).items():
        variable.assign(mask.apply(weights)[each])
    return network


def measure(name, folder):
    """Prints the rows of a network."""
    examples = np.random.default_rng(0).random((max(fresh.BATCHES), *SHAPE), np.float32)
    files, sizes = {}, {}
    for density in DENSITIES:
        with keras2.quiet_start():
            smaller, _ = shrinking.shrink(pruned(name, density))
            content = tflite.convert(smaller)
            forms = {'float32': content, 'int8': tflite.convert_int8(
                smaller, dict.fromkeys(keras2.argument_names(smaller), examples), content)}
        for form, each in forms.items():
            path = folder / f'{density}_{form}.tflite'
            path.write_bytes(each)
            files[f'{density} {form}'], sizes[f'{density} {form}'] = path, smaller.count_params()
    _, found = fresh.run('in_litert', folder / 'fresh', {}, {'serving_default': {'inputs': examples}}, None, files,
                         SECONDS.value)
    for key, path in files.items():
        density, form = key.split()
        cells = []
        for batch in map(str, fresh.BATCHES):
            seconds, dense = found['seconds'][key][batch], found['seconds']['1 float32'][batch]
            cells += [f'{1e6 * seconds:,.0f}', f'{dense / seconds:.2f}']
        print(f'| {float(density):.1%} | {sizes[key]:,} | {form} | {path.stat().st_size:,} | {" | ".join(cells)} |',
              flush=True)


def main(argv):
    del argv
    logging.set_verbosity(logging.WARNING)
    for name in ('conv2', 'resnet20'):
        print(f'\n{name}\n\n| channels kept | numbers left | form | bytes | µs, batch 1 | times as fast | µs, batch 32 '
              '| times as fast |\n|---|---|---|---|---|---|---|---|')
        with tempfile.TemporaryDirectory() as folder:
            measure(name, pathlib.Path(folder))


if __name__ == '__main__':
    app.run(main)
