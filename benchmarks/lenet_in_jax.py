"""LeNet-300-100 in JAX, masked: for each line that it reads it trains, and prints the seconds that took.

    python benchmarks/training.py --jax_python=PYTHON

starts it with an interpreter that has jax and optax, which are no requirements of tf_lottery: nothing of that is
imported here. The block is that of tf_lottery: 100 steps of Adam in one compiled program, over indices into uint8
images on the device, a fifth of the weights left; pruned weights start at zero and have no gradient.
"""

import itertools
import sys
import time

import jax
import numpy as np
import optax
from jax import lax
from jax import numpy as jnp

EXAMPLES, BATCH, BLOCK = 55_000, 60, 100
SIZES = (784, 300, 100, 10)


def logits(layers, images):
    for kernel, bias in layers[:-1]:
        images = jax.nn.relu(images @ kernel + bias)
    kernel, bias = layers[-1]
    return images @ kernel + bias


def loss(layers, images, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits(layers, images), labels).mean()


def initial(rng):
    """Returns the layers, pairs of a kernel and a bias, and a mask for each of these arrays."""
    masks = [(rng.random(shape) < 0.2, np.ones(shape[1], bool)) for shape in itertools.pairwise(SIZES)]
    layers = [(mask * rng.normal(0, np.sqrt(2 / sum(mask.shape)), mask.shape), np.zeros(mask.shape[1]))
              for mask, _ in masks]
    return [jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), each) for each in (layers, masks)]


def trainer(rng):
    """Returns a function that trains for a number of steps, a multiple of BLOCK."""
    images = jnp.asarray(rng.integers(0, 256, (EXAMPLES, SIZES[0]), np.uint8))
    labels = jnp.asarray(rng.integers(0, 10, EXAMPLES, np.int32))
    layers, masks = initial(rng)
    optimizer = optax.adam(1.2e-3, eps=1e-7)

    def step(state, batch):
        layers, moments = state
        value, gradients = jax.value_and_grad(loss)(
            layers, images[batch].astype(jnp.float32) / 255, labels[batch])
        gradients = jax.tree.map(jnp.multiply, gradients, masks)
        updates, moments = optimizer.update(gradients, moments, layers)
        return (optax.apply_updates(layers, updates), moments), value

    @jax.jit
    def block(state, indices):
        return lax.scan(step, state, indices)

    def train(steps):
        state = layers, optimizer.init(layers)
        order = rng.permutation(EXAMPLES).astype(np.int32)[:steps * BATCH].reshape(-1, BLOCK, BATCH)
        for indices in order:
            state, losses = block(state, indices)
        losses.block_until_ready()

    return train


def main(steps):
    if steps * BATCH > EXAMPLES or steps % BLOCK:
        sys.exit(f'{steps} steps: give a multiple of {BLOCK} that fits into an epoch of {EXAMPLES // BATCH}.')
    train = trainer(np.random.default_rng(0))
    for _ in sys.stdin:
        began = time.perf_counter()
        train(steps)
        print(time.perf_counter() - began, flush=True)


if __name__ == '__main__':
    main(int(sys.argv[1]))
