"""What sparsity does to the speed of LiteRT: large dense layers and 1x1 convolutions, on one thread.

    python benchmarks/sparse_kernels.py --seconds=2

Each network is timed with all of its weights and, without its zeros, at several densities, in turn in one process that
has no TensorFlow: the processor time of the cheapest call. The weights are random: what they are does not change it.
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np
from absl import app, flags, logging
from tf_lottery.runtime import keras2  # selects Keras 2 before TensorFlow is imported
import tf_keras
from tf_lottery.exports import fresh, tflite
from tf_lottery.pruning import wrapper

SECONDS = flags.DEFINE_float('seconds', 2, 'For how long each file is timed per batch size.')
DENSITIES = (0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
layers = tf_keras.layers


def dense_layers():
    """Three dense layers of 1,024 units."""
    return tf_keras.Sequential([
        tf_keras.Input((1024,)), *(layers.Dense(1024, 'relu', name=f'fc{number}') for number in (1, 2, 3)),
        layers.Dense(10, name='output')])


def pointwise_convolutions():
    """The plan of MobileNet (1704.04861), shortened, on images of 96 x 96: depthwise and 1x1 convolutions."""
    inputs = outputs = tf_keras.Input((96, 96, 3))
    outputs = layers.Conv2D(32, 3, 2, 'same', activation='relu', name='stem')(outputs)
    for number, (filters, stride) in enumerate(((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))):
        outputs = layers.DepthwiseConv2D(3, stride, 'same', activation='relu', name=f'depthwise{number}')(outputs)
        outputs = layers.Conv2D(filters, 1, activation='relu', name=f'pointwise{number}')(outputs)
    return tf_keras.Model(inputs, layers.Dense(10, name='output')(layers.GlobalAveragePooling2D()(outputs)))


def prune(network, density):
    """Gives the large dense layers and 1x1 convolutions random weights, so many of them not zero."""
    rng = np.random.default_rng(0)
    for name, weight in wrapper.variables(network).items():
        if name.startswith(('fc', 'pointwise')) and name.endswith('kernel'):
            kept = rng.random(weight.shape) < density
            weight.assign(kept * rng.normal(0, np.sqrt(2 / (density * weight.shape[-2])), weight.shape))


def measure(network, folder):
    """Prints the rows of a network."""
    files = {}
    for density in (1, *DENSITIES):
        prune(network, density)
        with keras2.quiet_start():
            content = tflite.convert(network)
        files[density] = folder / f'{density}.tflite'
        files[density].write_bytes(content if density == 1 else tflite.sparse(content))
    examples = {'inputs': np.random.default_rng(0).random((max(fresh.BATCHES), *network.input_shape[1:]), np.float32)}
    _, found = fresh.run('in_litert', folder / 'fresh', {}, {'serving_default': examples}, None, files, SECONDS.value)
    for density, path in files.items():
        cells = []
        for batch in map(str, fresh.BATCHES):
            seconds, dense = found['seconds'][str(density)][batch], found['seconds']['1'][batch]
            cells += [f'{1e6 * seconds:,.0f}', f'{dense / seconds:.2f}']
        print(f'| {density:.0%} | {path.stat().st_size:,} | {" | ".join(cells)} |', flush=True)


def main(argv):
    del argv
    logging.set_verbosity(logging.WARNING)
    for build in (dense_layers, pointwise_convolutions):
        print(f'\n{build.__doc__}\n\n| kept | bytes | µs, batch 1 | times as fast | µs, batch 32 | times as fast |\n'
              '|---|---|---|---|---|---|')
        with tempfile.TemporaryDirectory() as folder:
            measure(build(), pathlib.Path(folder))


if __name__ == '__main__':
    app.run(main)
