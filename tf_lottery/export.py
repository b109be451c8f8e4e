"""A ticket as a SavedModel: masks applied for good, loaded back and compared before it counts."""


import numpy as np
import tensorflow as tf

from tf_lottery import data, models, runs, storage
from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask, unpack

METADATA = 'ticket.json'


def export(workdir, stored, run, weights='trained', data_dir=None, command=''):
    """Writes a ticket of a finished run to `export/` in the experiment's folder.

    `serving_default` takes `image`, float32 [n, height, width, channels] with pixel values as the data set has them
    (0 to 255 for MNIST), and returns `logits` float32 [n, classes], `probabilities` float32 [n, classes] and `label`
    int64 [n]. Beside it stands ticket.json: what this is, density, accuracy, config and command.

    Args:
      workdir: folder of the experiment.
      stored: what `runs.read_config` returned.
      run: runs.Run, finished.
      weights: 'trained', at the last step, or 'rewound', as the ticket starts.
      data_dir: where TFDS keeps data sets; the test images are what the exported model is compared on.
      command: str, the command that made it.

    Returns:
      The folder of the SavedModel.

    Raises:
      UsageError: the run has not finished or has diverged.
      RuntimeError: the model that was loaded back is not the one that was written.
    """
    source = storage.join(workdir, run.folder)
    if not runs.is_done(workdir, run):
        raise UsageError(f'{source} has not finished: choose another --level or --replicate, or run the experiment.')
    result = storage.read_json(storage.join(source, 'result.json'))
    if result['diverged']:
        raise UsageError(f'{source} ended in a loss that is not finite: choose another --level or --replicate.')
    dataset = data.describe(stored['config']['data']['name'])
    mask = Mask.from_arrays(storage.read_arrays(storage.join(source, 'mask.npz')))
    network = _network(workdir, stored, run, weights, mask, dataset)
    test = data.load(stored['config']['data']['name'], stored['config']['data']['validation'], data_dir).test

    folder = storage.join(workdir, 'export', run.folder.replace('/', '_').replace('ticket', weights))
    storage.remove(folder)
    try:
        with storage.one_sentence('write', folder):
            tf.saved_model.save(network, folder, signatures=_signature(network, dataset))
        accuracy = _compare(folder, network, mask, test, dataset)
        storage.write_json(storage.join(folder, METADATA), _metadata(
            stored, run, weights, result, accuracy, dataset, command))
    except BaseException:
        storage.remove(folder)
        raise
    return folder


def _network(workdir, stored, run, weights, mask, dataset):
    """The plain network, without wrappers, with exact zeros where the mask has pruned."""
    if weights == 'trained':
        arrays = unpack(storage.read_arrays(storage.join(workdir, run.folder, 'weights.npz')), mask)
    else:
        arrays = storage.read_arrays(storage.join(workdir, run.rewound_weights))
    model = models.find(stored['config']['model']['name'])
    network = model.build(dataset.shape, dataset.classes, 0)
    values = mask.apply(arrays)
    for name, variable in wrapper.variables(network).items():
        variable.assign(values[name])
    return network


def _signature(network, dataset):
    @tf.function(input_signature=[tf.TensorSpec([None, *dataset.shape], tf.float32, name='image')])
    def serve(image):
        logits = network(image / dataset.brightest, training=False)
        return {'logits': logits, 'probabilities': tf.nn.softmax(logits), 'label': tf.argmax(logits, axis=-1)}

    return serve


def _compare(folder, network, mask, test, dataset):
    """Loads the SavedModel back; returns its test accuracy once it agrees with the network in memory."""
    loaded = tf.saved_model.load(folder)
    serve = loaded.signatures['serving_default']
    written = {variable.name: variable.numpy() for variable in loaded.variables}
    for name, variable in wrapper.variables(network).items():
        value = written.get(variable.name)
        if value is None or not np.array_equal(value, variable.numpy()):
            raise RuntimeError(f'{folder} does not hold the weights of {name}.')
        if name in mask and np.any(value[~mask[name]]):
            raise RuntimeError(f'{folder} holds weights of {name} that the mask has pruned.')
    images = test.images.astype(np.float32)
    served = serve(image=tf.constant(images))
    expected = network(images / dataset.brightest, training=False).numpy()
    if not np.allclose(served['logits'].numpy(), expected, rtol=1e-4, atol=1e-4):
        raise RuntimeError(f'{folder} does not compute what the network computes.')
    return float(np.mean(served['label'].numpy() == test.labels))


def _metadata(stored, run, weights, result, accuracy, dataset, command):
    if weights == 'trained':
        what = f'the ticket trained to the end, step {result["end_step"]}'
    else:
        what = f'the ticket as it starts, rewound to step {result["start_step"]}: train it before use'
    return {
        'what': what, 'weights': weights, 'run': run.folder, 'density': result['density'], 'kept': result['kept'],
        'prunable': result['size'], 'density_by_layer': result['layers'], 'test_accuracy': accuracy,
        'early_stop_step': result['early_stop_step'],
        'early_stop_test_accuracy': result['early_stop_test_accuracy'],
        'input': f'image: float32 [n, {", ".join(map(str, dataset.shape))}], pixel values 0 to {dataset.brightest}',
        'output': f'logits, probabilities: float32 [n, {dataset.classes}]; label: int64 [n]',
        'config': stored['config'], 'versions': stored['versions'], 'command': command,
    }
