"""Writes a ticket in the forms that other programs load, and keeps them only if they are the ticket."""

import dataclasses
import hashlib
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.branches import BRANCHES, NEVER
from tf_lottery.errors import CorruptFileError, UsageError, reason
from tf_lottery.experiment import config, runs, ticket_file
from tf_lottery.experiment.forms import FORMS
from tf_lottery.exports import (
    card,
    examples,
    fresh,
    lending,
    saved_model,
    shrinking,
    sizes,
    tflite,
    verify,
)
from tf_lottery.exports.subject import (
    Subject,
    batch_size,
    output_names,
    predict,
    signature,
)
from tf_lottery.pruning import wrapper
from tf_lottery.runtime import keras2, storage
from tf_lottery.tasks.task import CALIBRATION, Serving
from tf_lottery.ticket import Mask, Ticket

METADATA = 'ticket.json'
CHECKSUMS = 'SHA256SUMS'


@dataclasses.dataclass(frozen=True)
class Options:
    """How to export.

    Attributes:
      forms: names of `forms.FORMS`.
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

    Every form is compared with what this very model predicts, before anything of it is taken apart. The model, its
    variables, states and compilation are afterwards as they were. A model in mixed precision is exported in float32,
    and compared in both.

    Args:
      model: a Sequential or functional `tf_keras` model, wrapped by `prunable` or already stripped; its mask is the
        wrappers', or where there are none, the places of the weights that are not zero. Its inputs and outputs may be
        of any structure and dtype; one of each are called 'inputs' and 'outputs' in the signatures, several as Keras
        names them.
      path: folder to write, local or remote; an earlier export there is replaced once the new one has been verified.
      forms: names of `experiment.forms.FORMS`.
      examples: what the forms are compared with the model on, and int8 takes its ranges from: arrays [n, ...] in the
        structure of the model's inputs. None for 100 draws: from a normal distribution for real numbers, evenly for
        uint8 and bool.
      ticket: Ticket to write for the form 'ticket': what another researcher trains.
      litert_python: str, a Python interpreter that has ai-edge-litert; '' for this one.
      latency_seconds: float, for how long each form is timed per batch size; 0 for not at all.
      shrink: bool, as in `Options`; False for a model that is trained on as the network that it is.

    Returns:
      `path`.

    Raises:
      UsageError: the model or a form cannot be exported, or the examples do not fit the model.
      ExportError: a form does not do in a fresh process what the model does; `path` is as it was before.
    """
    keras2.require_model(model)
    _check_forms(forms, ticket)
    with lending.unchanged(model):
        subject, lowered = _lent(model, examples, ticket)
        about = {'what': f'the model {model.name!r}', 'density': subject.mask.density, 'kept': subject.mask.kept,
                 'prunable': subject.mask.size,
                 'density_by_layer': {name: float(array.mean()) for name, array in subject.mask.items()},
                 'examples': _count(subject.serving.inputs), 'given_in': lowered, **_described(subject.network),
                 'versions': runs.versions()}
        return _write(subject, storage.without_slash(path), about,
                      Options(tuple(forms), litert_python, latency_seconds, shrink))


def _lent(model, given, ticket):
    """The Subject of a user's model, which shares its layers, and the mixed precision that it is in, or None."""
    examples.require_dense(model)
    inputs = examples.drawn(model) if given is None else examples.given(model, given)
    outputs = _predicted(model, inputs, given is None)
    lowered = lending.lowered(model)
    wrapped = bool(wrapper.wrappers(model))
    mask = wrapper.get_mask(model) if wrapped else lending.nonzero(model)
    lending.to_full_precision(model)
    network = lending.plain(model)
    outputs = dict(zip(output_names(network), outputs.values(), strict=True))
    values = mask.apply(wrapper.get_weights(model))
    if wrapped or lowered:
        with lending.holding(network, values):
            plain = _predicted(network, inputs, given is None)
        verify.unwrapped(outputs, plain, lowered)
        outputs = plain
    batch = batch_size(model) or 1
    calibration = {name: array[:max(CALIBRATION // batch, 1) * batch] for name, array in inputs.items()}
    serving = Serving(inputs, calibration, _classifiers(model, network.output_names, outputs))
    return Subject(network, mask, values, outputs, serving, ticket=ticket), lowered


def _predicted(model, inputs, are_draws):
    """What a model makes of examples: {output: array}; its states stay as they are."""
    what = f'{_count(inputs)} draws' if are_draws else 'these examples'
    try:
        with lending.unchanged(model):
            outputs = predict(model, inputs)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise UsageError(f'model {model.name!r} does not run on {what} ({reason(error)}): give examples= that it is '
                         'made for.') from error
    for name, output in outputs.items():
        if output.dtype.kind == 'f' and np.isnan(output).any():
            raise UsageError(f'output {name!r} of model {model.name!r} is not a number for some of {what}: give '
                             'examples= that it is made for.')
    return outputs


def _count(inputs):
    return len(next(iter(inputs.values())))


def _described(network):
    """{'input': str, 'output': str}: the name, dtype and shape of each tensor that a network takes and returns."""
    def sizes(tensor):
        batch, *others = tensor.shape
        return ', '.join([str(batch or 'n'), *('any' if size is None else str(size) for size in others)])

    tensors = {'input': dict(zip(keras2.argument_names(network), network.inputs, strict=True)),
               'output': signature(network).get_concrete_function().structured_outputs}
    return {way: '; '.join(f'{name}: {tensor.dtype.name} [{sizes(tensor)}]' for name, tensor in each.items())
            for way, each in tensors.items()}


def _classifiers(model, names, outputs):
    """The names of the outputs that predict a class: trained with a cross-entropy over classes, or probabilities."""
    loss = getattr(model, 'loss', None)
    losses = ([loss.get(name) for name in names] if isinstance(loss, dict) else
              loss if isinstance(loss, (list, tuple)) else [loss] * len(names))
    losses = [str(getattr(each, 'name', None) or getattr(each, '__name__', each)).replace('_', '').lower()
              for each in losses]
    return tuple(name for (name, output), trained_with in zip(outputs.items(), losses, strict=True)
                 if output.ndim == 2 and output.shape[1] > 1 and output.dtype.kind == 'f' and (
                     'categoricalcrossentropy' in trained_with or
                     (np.all(output >= 0) and np.allclose(output.sum(axis=1), 1, atol=1e-3))))


def _check_forms(forms, ticket):
    unknown = [form for form in forms if form not in FORMS]
    if unknown or not forms:
        raise UsageError(f'forms are {tuple(forms)!r}: choose some of {", ".join(FORMS)}.')
    if 'ticket' in forms and ticket is None:
        raise UsageError("the form 'ticket' needs a ticket: give ticket=tf_lottery.Ticket(mask, weights, step), or "
                         'leave the form out.')


def export_run(workdir, stored, run, summary, weights='trained', data_dir=None, command='', options=None, task=None):
    """Writes the network of a finished run to `export/` in the experiment's folder.

    Args:
      workdir: folder of the experiment.
      stored: what `runs.read_config` returned.
      run: runs.Run, finished; where it did not start from weights that the folder keeps (`Run.start_weights`), there
        are neither rewound weights nor the form 'ticket'.
      summary: DataFrame of `results.summarise`, for the leading measure over the replicates that have it and a
        dense network.
      weights: 'trained', at the last step, or 'rewound', as the ticket starts.
      data_dir: where TFDS keeps data sets; test examples are what the exported forms are compared on.
      command: str, the command that made it.
      options: Options.
      task: Task of the experiment; None to find it as its config says.

    Returns:
      The folder of the export.

    Raises:
      UsageError: the run has not finished, has diverged or was not trained.
      ExportError: a form does not do in a fresh process what the network does; an earlier export is as it was.
    """
    source = storage.join(workdir, run.folder)
    if not runs.is_done(workdir, run):
        raise UsageError(f'{source} has not finished: choose another --level or --replicate, or run the experiment.')
    result = storage.read_json(storage.join(source, 'result.json'))
    outcome = runs.outcome(result)
    if outcome != runs.FINISHED:
        how = 'ended in a loss that is not finite' if outcome == runs.DIVERGED else 'was not trained'
        raise UsageError(f'{source} {how}: choose another --level or --replicate.')
    task = task or config.restore(stored, data_dir).task
    subject = _subject(workdir, stored, run, weights, result, task, data_dir)
    name = run.folder.replace('/', '_')
    name = name.replace('ticket', weights) if run.branch == 'ticket' else f'{name}_{weights}'
    folder = storage.join(workdir, 'export', name)
    about = _about(subject, stored, run, weights, result, summary, task, command)
    return _write(subject, folder, about, options or Options())


def _subject(workdir, stored, run, weights, result, task, data_dir):
    source = storage.join(workdir, run.folder)
    mask = runs.read_mask(source)
    values = frozen = ticket = None
    # Who wants the ticket as it starts may have deleted what it was trained to.
    if weights == 'trained' or BRANCHES[run.branch].frozen:
        values = runs.read_weights(source, mask)
    if BRANCHES[run.branch].frozen:
        frozen = {name: values[name] for name in mask}
    if run.start_weights:
        start = storage.read_arrays(storage.join(workdir, run.start_weights))
        ticket = Ticket(mask, start, result['start_step'], frozen)
    if weights == 'rewound':
        values = ticket.start
    if frozen:
        # What is zero of the network, not of the mask.
        mask = Mask({name: values[name] != 0 for name in mask})
    network, serving = task.network(0), task.serving(data_dir)
    examples.require_dense(network)
    lending.to_full_precision(network)
    wrapper.set_weights(network, values)
    serving = serving.of(network) if serving.of else serving
    serving = dataclasses.replace(serving, inputs=_fitted(network, serving.inputs),
                                  calibration=_fitted(network, serving.calibration))
    outputs = predict(network, serving.inputs)
    if serving.classifies is None:
        serving = dataclasses.replace(serving, classifies=_classifiers(network, network.output_names, outputs))
    return Subject(network, mask, values, outputs, serving, task.measures.lead, ticket, stored['config'])


def _fitted(network, arrays):
    return examples.fitted(network, [arrays[name] for name in keras2.argument_names(network)])


def _about(subject, stored, run, weights, result, summary, task, command):
    measures, serving = task.measures, subject.serving
    branch = BRANCHES[run.branch]
    what = 'the ticket ' if run.branch == 'ticket' else f'{branch.title} (the branch `{run.branch}`), '
    if weights == 'rewound':
        what += f'as it starts, rewound to step {result["start_step"]}: train it before use'
    elif branch.step == NEVER:
        what += 'as it is at step 0'
    elif branch.learns:
        what += f'its mask learned to step {result["end_step"]}, its weights as they were drawn'
    else:
        what += f'trained to the end, step {result["end_step"]}'
    rows = summary[summary['branch'] == run.branch].set_index('level')
    pairs = int(rows.loc[run.level, 'pairs'])
    spread = {key: [float(rows.loc[run.level, f'{half}_{measures.at_end()}_{name}']) for name in ('mean', 'min', 'max')]
              for key, half in (('dense', 'dense'), (run.branch, 'paired')) if pairs}
    early_stop = ('early_stop_step', measures.at_early_stop()) if measures.early_stop else ()
    return {
        'what': what, 'weights': weights, 'run': run.folder, 'branch': run.branch, 'level': run.level,
        'density': result['density'], 'kept': result['kept'], 'prunable': result['size'],
        **({'frozen': _frozen(subject)} if branch.frozen else {}), 'density_by_layer': result['layers'],
        **({f'test_{measures.lead.name}': serving.score(subject.outputs)} if serving.score else {}),
        **{name: result[name] for name in early_stop},
        'replicates': pairs, f'{measures.lead.name}_over_replicates': spread, 'test': task.facts().test,
        **(serving.described or _described(subject.network)),
        'config': stored['config'], 'versions': stored['versions'], 'command': command,
        'trained_by': stored.get('command'), 'examples': _count(serving.inputs),
    }


def _frozen(subject):
    """int, how many of the weights that a ticket has pruned are frozen at other values than zero."""
    return sum(int(np.count_nonzero(subject.mask[name] & ~kept)) for name, kept in subject.ticket.mask.items())


def _write(subject, folder, about, options):
    """Makes and verifies the forms in a local folder, then puts it in the place of `folder`."""
    # A file system that cannot be asked is told of before the work.
    storage.exists(folder)
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        made, dense = place / 'made', place / 'dense'
        with lending.holding(subject.network, subject.weights):
            shipped, changes = _shrunk(subject) if options.shrink else (subject, {})
            calls = saved_model.calls(subject)
        with storage.one_sentence('write', folder), keras2.quiet_start():
            _make(shipped, made, options.forms)
            # Only what is timed beside the forms, in their runtimes.
            beside = {'tflite' if form.startswith('tflite') else form for form in options.forms} - {'ticket'}
            _make(_dense(subject), dense, beside)
        verdict = _verify(shipped, calls, made, dense, place, options)
        about = {**about, 'forms': list(options.forms), **_scored(subject, calls), **verdict,
                 'shrunk': {name: dataclasses.asdict(change) for name, change in changes.items()},
                 'sizes': _sizes(subject, shipped, made, dense, options.forms)}
        with storage.one_sentence('write', folder):
            storage.write_json(str(made / METADATA), about)
            storage.write_text(str(made / 'README.md'), card.write(about, subject.serving.words, subject.measure))
            for name, content in subject.serving.files.items():
                (made / name).write_bytes(content)
            storage.write_text(str(made / CHECKSUMS), ''.join(
                f'{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(made)}\n'
                for file in sorted(made.rglob('*')) if file.is_file()))
        storage.replace_folder(str(made), folder)
    return folder


def _scored(subject, calls):
    """The leading measure as a signature tells it, and which one."""
    return {key: value for name, each in subject.serving.signatures.items() if each.score for key, value in (
        (f'test_{subject.measure.name}', each.score(calls[name][1])), ('measured_by', name))}


def _shrunk(subject):
    """The same with units and channels removed that compute nothing, and the shrinking.Change of each layer."""
    network, changes = shrinking.shrink(subject.network)
    verify.shrunk(subject, predict(network, subject.serving.inputs))
    return dataclasses.replace(subject, network=network, weights=wrapper.get_weights(network),
                               mask=lending.nonzero(network)), changes


def _make(subject, folder, forms):
    """Writes forms to a new local folder, each to its place in `FORMS`."""
    folder.mkdir()
    files = {}
    with lending.holding(subject.network, subject.weights), lending.unchanged(subject.network):
        if 'saved_model' in forms:
            saved_model.write(subject, str(folder))
        if any(form.startswith('tflite') for form in forms):
            files['tflite'] = tflite.convert(subject.network)
        if 'tflite_sparse' in forms:
            files['tflite_sparse'] = tflite.sparse(files['tflite'])
        if 'tflite_int8' in forms:
            files['tflite_int8'] = tflite.convert_int8(subject.network, subject.serving.calibration, files['tflite'])
    for form in set(files) & set(forms):
        (folder / FORMS[form]).write_bytes(files[form])
    if 'ticket' in forms:
        ticket_file.save_ticket(str(folder / FORMS['ticket']), subject.ticket, subject.about)


def _dense(subject):
    """The same network with numbers in the place of its zeros, to compare sizes and latencies with."""
    rng = np.random.default_rng(0)
    values = {name: np.where(subject.mask[name], array, rng.normal(0, 0.05, array.shape).astype(array.dtype))
              if name in subject.mask else array for name, array in subject.weights.items()}
    return dataclasses.replace(subject, weights=values)


def _verify(subject, calls, made, dense, place, options):
    """Runs each form in a fresh process and compares; returns what is known of latencies, of int8 and of the files."""
    scores = {f'litert_{subject.measure.name}': {}} if subject.serving.score else {}
    found = {'latency': [], 'predictions_changed': {}, **scores, 'int8_errors': {}, 'zeros_unseen': {},
             'fixed_batch': {}, 'keras_reads': None}
    chosen = {form: made / FORMS[form] for form in options.forms}
    batch = batch_size(subject.network)
    lite = {form: path for form, path in chosen.items() if form.startswith('tflite')}
    if 'saved_model' in chosen:
        path = {'saved_model': chosen['saved_model']}
        inputs = {signature: each for signature, (each, _) in calls.items()}
        expected = {signature: each for signature, (_, each) in calls.items()}
        answers, timed = fresh.run('in_tensorflow', place / 'tensorflow', path, inputs, batch,
                                   {'dense': dense, **path}, options.latency_seconds)
        verify.saved_model(subject, _below(answers, 'saved_model'), expected)
        found['keras_reads'] = saved_model.keras_reads(subject, str(made))
        found['latency'].append(timed)
    if lite:
        answers, timed = fresh.run(
            'in_litert', place / 'litert', lite, {'serving_default': subject.serving.inputs}, batch,
            {'dense': dense / FORMS['tflite'], **lite}, options.latency_seconds, options.litert_python)
        for form, path in lite.items():
            _verify_tflite(subject, form, path.read_bytes(), _below(answers, form), found)
        found['latency'].append(timed)
    if 'ticket' in chosen:
        answers, _ = fresh.run('in_numpy', place / 'numpy', {'ticket': chosen['ticket']}, {}, batch, {}, 0)
        verify.ticket(subject, _below(answers, 'ticket'))
    return {**found, 'latency': [each for each in found['latency'] if each['seconds']]}


def _verify_tflite(subject, form, content, outputs, found):
    """Verifies one TFLite file, and adds to what is `found`, by form."""
    changed, errors = verify.tflite(subject, form, outputs)
    unseen = verify.zeros(subject, form, tflite.weights(content), tflite.constants(content))
    if subject.serving.classifies:
        found['predictions_changed'][form] = max(changed.values(), default=0)
    for key, value in (('int8_errors', errors), ('zeros_unseen', unseen), ('fixed_batch', tflite.fixed_batch(content))):
        if value:
            found[key][form] = value
    if subject.serving.score:
        found[f'litert_{subject.measure.name}'][form] = subject.serving.score(outputs)


def _below(found, name):
    return {key.removeprefix(f'{name}/'): value for key, value in found.items() if key.startswith(f'{name}/')}


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
