"""Writes a ticket in the forms that other programs load, and keeps them only if they are the ticket."""

import dataclasses
import hashlib
import pathlib
import tempfile

import numpy as np
import tf_keras
from tensorflow_model_optimization.sparsity import keras as sparsity

from tf_lottery import config, data, keras2, runs, shrinking, storage, ticket_file
from tf_lottery.errors import CorruptFileError, UsageError
from tf_lottery.exports import FORMS, card, fresh, saved_model, sizes, tflite, verify
from tf_lottery.exports.subject import Subject, normalised
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask, Ticket

METADATA = 'ticket.json'
CHECKSUMS = 'SHA256SUMS'
# Inputs that int8 measures its ranges on.
_CALIBRATION = 300


@dataclasses.dataclass(frozen=True)
class Options:
    """How to export.

    Attributes:
      forms: names of `exports.FORMS`.
      litert_python: str, a Python interpreter that has ai-edge-litert; '' for this one.
      latency_seconds: float, for how long each form is timed per batch size; 0 for not at all.
      shrink: bool, whether units and channels that compute nothing are removed (`shrinking.shrink`) from all forms but
        the ticket itself.
    """

    forms: tuple = ('saved_model',)
    litert_python: str = ''
    latency_seconds: float = 0.0
    shrink: bool = False


def export(model, path, forms=('saved_model',), examples=None, ticket=None, litert_python='', latency_seconds=0.0,
           shrink=True):
    """Writes a model of one's own as `main.py --mode=export` does that of a run: verified, with sizes and a README.md.

    Args:
      model: a Sequential or functional `tf_keras` model of one input and one output, wrapped by `prunable` or already
        stripped; its mask is the wrappers', or where there are none, the places of the weights that are not zero.
      path: folder to write, local or remote; an earlier export there is replaced once the new one has been verified.
      forms: names of `tf_lottery.exports.FORMS`.
      examples: array [n, ...] of inputs that the forms are compared with the model on, and int8 takes its ranges from;
        None for 100 draws from a normal distribution.
      ticket: Ticket to write for the form 'ticket': what another researcher trains.
      litert_python: str, a Python interpreter that has ai-edge-litert; '' for this one.
      latency_seconds: float, for how long each form is timed per batch size; 0 for not at all.
      shrink: bool, as in `Options`; False for a model that is trained on as the network that it is.

    Returns:
      `path`.

    Raises:
      UsageError: the model or a form cannot be exported.
      ExportError: a form does not do in a fresh process what the model does; `path` is as it was before.
    """
    keras2.require_model(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UsageError(f'model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: '
                         'export a model of one each.')
    _check_forms(forms, ticket)
    mask = wrapper.get_mask(model) if wrapper.wrappers(model) else _nonzero(model)
    network = _plain(model)
    values = mask.apply(wrapper.get_weights(model))
    _assign(network, values)
    if examples is None:
        examples = np.random.default_rng(0).standard_normal((100, *model.input_shape[1:]), np.float32)
    subject = Subject(network, mask, values, np.asarray(examples),
                      calibration=normalised(np.asarray(examples)[:_CALIBRATION], None), ticket=ticket)
    about = {'what': f'the model {model.name!r}', 'density': mask.density, 'kept': mask.kept, 'prunable': mask.size,
             'density_by_layer': {name: float(array.mean()) for name, array in mask.items()},
             'examples': len(subject.examples), 'versions': runs.versions()}
    return _write(subject, storage.without_slash(path), about,
                  Options(tuple(forms), litert_python, latency_seconds, shrink))


def _plain(model):
    """A copy of a model without wrappers, with weights of its own."""
    return tf_keras.models.clone_model(sparsity.strip_pruning(model))


def _assign(network, values):
    for name, variable in wrapper.variables(network).items():
        variable.assign(values[name])


def _check_forms(forms, ticket):
    unknown = [form for form in forms if form not in FORMS]
    if unknown or not forms:
        raise UsageError(f'forms are {tuple(forms)!r}: choose some of {", ".join(FORMS)}.')
    if 'ticket' in forms and ticket is None:
        raise UsageError("the form 'ticket' needs a ticket: give ticket=tf_lottery.Ticket(mask, weights, step), or "
                         'leave the form out.')


def export_run(workdir, stored, run, summary, weights='trained', data_dir=None, command='', options=None):
    """Writes a ticket of a finished run to `export/` in the experiment's folder.

    Args:
      workdir: folder of the experiment.
      stored: what `runs.read_config` returned.
      run: runs.Run, finished.
      summary: DataFrame of `results.summarise`, for the accuracy over the replicates that have it and a dense network.
      weights: 'trained', at the last step, or 'rewound', as the ticket starts.
      data_dir: where TFDS keeps data sets; the test images are what the exported forms are compared on.
      command: str, the command that made it.
      options: Options.

    Returns:
      The folder of the export.

    Raises:
      UsageError: the run has not finished or has diverged.
      ExportError: a form does not do in a fresh process what the network does; an earlier export is as it was.
    """
    source = storage.join(workdir, run.folder)
    if not runs.is_done(workdir, run):
        raise UsageError(f'{source} has not finished: choose another --level or --replicate, or run the experiment.')
    result = storage.read_json(storage.join(source, 'result.json'))
    if result['diverged']:
        raise UsageError(f'{source} ended in a loss that is not finite: choose another --level or --replicate.')
    protocol = config.restore(stored['config'])
    train, test = data.examples(protocol.config.data, protocol.dataset, protocol.validation, _CALIBRATION, data_dir)
    subject = _subject(workdir, stored, run, weights, result, protocol, train, test)
    folder = storage.join(workdir, 'export', run.folder.replace('/', '_').replace('ticket', weights))
    about = {**_about(stored, run, weights, result, subject.accuracy(subject.outputs), summary, command,
                      protocol.dataset), 'examples': len(test)}
    return _write(subject, folder, about, options or Options())


def _subject(workdir, stored, run, weights, result, protocol, train, test):
    dataset = protocol.dataset
    source = storage.join(workdir, run.folder)
    mask = runs.read_mask(source)
    # What the run started from; the dense network starts from W_0.
    rewound = storage.read_arrays(storage.join(workdir, run.rewound_weights if run.level else run.initial_weights))
    arrays = rewound if weights == 'rewound' else runs.read_weights(source, mask)
    network = protocol.model.build(dataset.shape, dataset.classes, 0)
    values = mask.apply(arrays)
    _assign(network, values)
    return Subject(network, mask, values, test.images, test.labels, dataset.brightest,
                   normalised(train.images, dataset.brightest), Ticket(mask, rewound, result['start_step']),
                   stored['config'])


def _about(stored, run, weights, result, accuracy, summary, command, dataset):
    if weights == 'trained':
        what = f'the ticket trained to the end, step {result["end_step"]}'
    else:
        what = f'the ticket as it starts, rewound to step {result["start_step"]}: train it before use'
    rows = summary[summary['branch'] == 'ticket'].set_index('level')
    pairs = int(rows.loc[run.level, 'pairs'])
    spread = {key: [float(rows.loc[run.level, f'{half}_final_test_accuracy_{name}']) for name in ('mean', 'min', 'max')]
              for key, half in (('dense', 'dense'), ('ticket', 'paired')) if pairs}
    return {
        'what': what, 'weights': weights, 'run': run.folder, 'level': run.level, 'density': result['density'],
        'kept': result['kept'], 'prunable': result['size'], 'density_by_layer': result['layers'],
        'test_accuracy': accuracy, 'early_stop_step': result['early_stop_step'],
        'early_stop_test_accuracy': result['early_stop_test_accuracy'],
        'replicates': pairs, 'accuracy_over_replicates': spread, 'test': dataset.test,
        'input': f'image: float32 [n, {", ".join(map(str, dataset.shape))}], pixel values divided by '
                 f'{dataset.brightest}',
        'output': f'logits, probabilities: float32 [n, {dataset.classes}]; label: int64 [n]',
        'config': stored['config'], 'versions': stored['versions'], 'command': command,
        'trained_by': stored.get('command'),
    }


def _write(subject, folder, about, options):
    """Makes and verifies the forms in a local folder, then puts it in the place of `folder`."""
    # A file system that cannot be asked is told of before the work.
    storage.exists(folder)
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        made, dense = place / 'made', place / 'dense'
        shipped, changes = _shrunk(subject) if options.shrink else (subject, {})
        with storage.one_sentence('write', folder), keras2.quiet_start():
            _make(shipped, made, options.forms)
            # Only what is timed beside the forms, in their runtimes.
            beside = {'tflite' if form.startswith('tflite') else form for form in options.forms} - {'ticket'}
            _make(_dense(subject), dense, beside)
        verdict = _verify(shipped, made, dense, place, options)
        about = {**about, 'forms': list(options.forms), **verdict,
                 'shrunk': {name: dataclasses.asdict(change) for name, change in changes.items()},
                 'sizes': _sizes(subject, shipped, made, dense, options.forms)}
        with storage.one_sentence('write', folder):
            storage.write_json(str(made / METADATA), about)
            storage.write_text(str(made / 'README.md'), card.write(about))
            storage.write_text(str(made / CHECKSUMS), ''.join(
                f'{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(made)}\n'
                for file in sorted(made.rglob('*')) if file.is_file()))
        storage.replace_folder(str(made), folder)
    return folder


def _shrunk(subject):
    """The same with units and channels removed that compute nothing, and the shrinking.Change of each layer."""
    network, changes = shrinking.shrink(subject.network)
    weights = wrapper.get_weights(network)
    small = dataclasses.replace(subject, network=network, weights=weights, mask=_nonzero(network))
    verify.shrunk(subject, small)
    return small, changes


def _nonzero(network):
    """The mask of a network without wrappers: where its prunable weights are not zero."""
    weights = wrapper.prunable_variables(wrapper.prunable(network))
    return Mask({name: weight.numpy() != 0 for name, (_, weight, *_) in weights.items()})


def _make(subject, folder, forms):
    """Writes forms to a new local folder, each to its place in `FORMS`."""
    folder.mkdir()
    if 'saved_model' in forms:
        saved_model.write(subject, str(folder))
    files = {}
    if {'tflite', 'tflite_sparse'} & set(forms):
        files['tflite'] = tflite.convert(subject.network)
        files['tflite_sparse'] = tflite.sparse(files['tflite'])
    if 'tflite_int8' in forms:
        files['tflite_int8'] = tflite.convert_int8(subject.network, subject.calibration)
    for form in set(files) & set(forms):
        (folder / FORMS[form]).write_bytes(files[form])
    if 'ticket' in forms:
        ticket_file.save_ticket(str(folder / FORMS['ticket']), subject.ticket, subject.about)


def _dense(subject):
    """The same network with numbers in the place of its zeros, to compare sizes and latencies with."""
    rng = np.random.default_rng(0)
    values = {name: np.where(subject.mask[name], array, rng.normal(0, 0.05, array.shape).astype(array.dtype))
              if name in subject.mask else array for name, array in subject.weights.items()}
    network = _plain(subject.network)
    _assign(network, values)
    return dataclasses.replace(subject, network=network, weights=values)


def _verify(subject, made, dense, place, options):
    """Runs each form in a fresh process and compares; returns what is known of latencies and of int8."""
    latency, changed, accuracy = [], {}, {}
    chosen = {form: made / FORMS[form] for form in options.forms}
    lite = {form: path for form, path in chosen.items() if form.startswith('tflite')}
    if 'saved_model' in chosen:
        path = {'saved_model': chosen['saved_model']}
        found, timed = fresh.run('in_tensorflow', place / 'tensorflow', subject, path,
                                 {'dense': dense, **path}, options.latency_seconds)
        verify.saved_model(subject, _below(found, 'saved_model'))
        latency.append(timed)
    if lite:
        found, timed = fresh.run('in_litert', place / 'litert', subject, lite,
                                 {'dense': dense / FORMS['tflite'], **lite}, options.latency_seconds,
                                 options.litert_python)
        for form, path in lite.items():
            changed[form] = verify.tflite(
                subject, form, found[f'{form}/outputs'], tflite.weights(path.read_bytes()))
            if subject.labels is not None:
                accuracy[form] = subject.accuracy(found[f'{form}/outputs'])
        latency.append(timed)
    if 'ticket' in chosen:
        found, _ = fresh.run('in_numpy', place / 'numpy', subject, {'ticket': chosen['ticket']}, {}, 0)
        verify.ticket(subject, _below(found, 'ticket'))
    return {'latency': [each for each in latency if each['seconds']], 'predictions_changed': changed,
            'litert_accuracy': accuracy}


def _below(found, name):
    return {key.removeprefix(f'{name}/'): value for key, value in found.items()}


def _sizes(subject, shipped, made, dense, forms):
    """{form: its weights, what it keeps of them, bytes, and the bound on these}, dense counterparts first."""
    files = {f'dense {form}': _files(dense, form) for form in FORMS} | {form: _files(made, form) for form in forms}
    found = {}
    for form, paths in files.items():
        if paths:
            held = subject if form == 'ticket' else shipped
            raw, gzipped = sizes.measure(paths)
            found[form] = {'weights': subject.mask.size, 'kept': subject.mask.size, 'raw': raw, 'gzipped': gzipped}
            if form in forms:
                found[form] |= {'weights': held.mask.size, 'kept': held.mask.kept,
                                'bound': sizes.bound(held.mask, held.weights)}
    return found


def _files(folder, form):
    """The files of a form in a folder, [] where it is not there."""
    if form != 'saved_model':
        return [path for path in (folder / FORMS[form],) if path.exists()]
    if not (folder / 'saved_model.pb').exists():
        return []
    return [*sorted(folder.glob('*.pb')), *sorted((folder / 'variables').iterdir())]


def check(folder):
    """Checks every file of an export against its checksums.

    Args:
      folder: of an export, local or remote.

    Raises:
      CorruptFileError: a file is missing, was changed after it was written, or the folder is no export.
    """
    path = storage.join(folder, CHECKSUMS)
    if not storage.exists(path):
        raise CorruptFileError(f'{folder} is not an export: it has no {CHECKSUMS}.')
    for line in storage.read_text(path).splitlines():
        digest, _, name = line.partition('  ')
        file = storage.join(folder, name)
        if not storage.exists(file) or hashlib.sha256(storage.read_bytes(file)).hexdigest() != digest:
            raise CorruptFileError(f'{file} is corrupt: its checksum does not fit, so copy or export it again.')


def load_model(folder):
    """Loads the Keras model of an export, for instance to fine-tune it, once all its files have been checked.

    Args:
      folder: of an export that has the form 'saved_model'.

    Returns:
      A `tf_keras` model that is not compiled.

    Raises:
      CorruptFileError: see `check`.
      UsageError: the export has no SavedModel.
    """
    check(folder)
    if not storage.exists(storage.join(folder, 'saved_model.pb')):
        raise UsageError(f'{folder} has no SavedModel: export it with the form saved_model.')
    with storage.one_sentence('read', folder):
        return tf_keras.models.load_model(folder, compile=False)
