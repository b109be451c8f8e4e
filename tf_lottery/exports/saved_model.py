"""A network as a SavedModel, which TensorFlow alone serves and `tf_keras.models.load_model` reads for fine-tuning."""

import tf_keras

from tf_lottery.exports import batches, refusal, subject, verify


def write(exported, folder):
    """Writes a SavedModel, of dynamic batch size unless the network is built for one.

    Its signatures are those that the subject is served by; where there are none of its own it has `serving_default`,
    from the `keras2.argument_names` to the `subject.output_names`, in the dtypes that the network takes.

    Args:
      exported: subject.Subject.
      folder: str, a local folder.

    Raises:
      UsageError: a SavedModel cannot hold a layer.
    """
    signatures = {name: each.serve(exported.network) for name, each in exported.serving.signatures.items()}
    try:
        exported.network.save(folder, save_format='tf', include_optimizer=False, signatures=signatures or {
            'serving_default': subject.signature(exported.network)})
    except OSError:
        raise
    except Exception as error:
        # A layer's own methods are called, which may raise anything.
        raise refusal.after(error, 'saved_model', exported.network) from error


def calls(exported):
    """What the signatures are verified on.

    Returns:
      {signature: (dict of its inputs, dict of what the network in memory makes of them)}.
    """
    def answers(each):
        if each.alone:
            return each.alone(exported.network)
        outputs = exported.outputs if each.inputs is None else subject.predict(exported.network, each.inputs)
        return each.answers(outputs)

    found = {name: (each.examples, answers(each)) for name, each in exported.serving.signatures.items()}
    return found or {'serving_default': (exported.serving.inputs, exported.outputs)}


def keras_reads(exported, folder):
    """bool, whether `tf_keras.models.load_model` makes a model of a folder that predicts what the network predicts."""
    try:
        loaded = tf_keras.models.load_model(folder, compile=False)
        found = subject.predict(loaded, next(batches.split(exported.serving.inputs, subject.batch_size(loaded))))
        return all(verify.is_close(found[name], output[:len(found[name])]) for name, output in exported.outputs.items())
    except Exception:
        # Whatever a layer of the user's raises when it is made again.
        return False
