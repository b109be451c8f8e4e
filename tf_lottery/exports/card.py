"""The README.md of an export: what it is, how good, how small and how fast."""

import os
import platform

from tf_lottery.branches import BRANCHES, NEVER, initial
from tf_lottery.experiment.forms import FORMS
from tf_lottery.exports.verify import CLOSE_IN, INT8_ERROR
from tf_lottery.pruning import structure
from tf_lottery.pruning.criteria import CRITERIA

_NAMES = {'saved_model': 'SavedModel', 'tflite': 'TFLite', 'tflite_sparse': 'TFLite, zeros left out',
          'tflite_int8': 'TFLite int8', 'ticket': 'rewound ticket'}


def write(about, words, measure=None):
    """Composes the model card.

    Args:
      about: dict, what ticket.json holds: of a run, or of a model of one's own.
      words: tasks.task.Words.
      measure: Measure that leads the report of a run; None of a model of one's own, which has no test set.

    Returns:
      str, Markdown.
    """
    measured = _measured(about, words, measure)
    sections = [_title(about), measured, _files(about, words, measure), _sizes(about), _shrunk(about), _latency(about),
                _layers(about), _protocol(about, words), _limits(about, words, measure if measured else None)]
    return '\n\n'.join(section for section in sections if section) + '\n'


def _title(about):
    what = about['what'][0].upper() + about['what'][1:]
    keeps, others = 'keeps', 'the others are exact zeros'
    if 'frozen' in about:
        keeps, others = 'trains', (f'of the others {about["frozen"]:,} are frozen at what they were before training, '
                                   'and the rest are exact zeros')
    return (f'# {about.get("run", "A pruned model")}\n\n{what}. It {keeps} {about["kept"]:,} of '
            f'{about["prunable"]:,} prunable weights ({about["density"]:.2%}); {others}.')


def _measured(about, words, measure):
    """The leading measure of a run, as far as it is known; '' where it is not."""
    if measure is None:
        return ''
    said, spread = [], about[f'{measure.name}_over_replicates']
    if f'test_{measure.name}' in about:
        those = f'the {about["test"]:,}' if about['examples'] == about['test'] else (
            f'the first {about["examples"]:,} of the {about["test"]:,}')
        those = f'On {those} test {words.examples}'
        if 'measured_by' in about:
            those = f'By `{about["measured_by"]}`, on the whole test set'
        said.append(f'{those}: {_shown(measure, about[f"test_{measure.name}"])}.')
    if spread:
        several = 's' if about['replicates'] != 1 else ''
        branch = about['branch']
        own = 'ticket' if branch == 'ticket' else f'`{branch}`'
        titles = {'dense': 'dense network', branch: f'{own} of level {about["level"]}'
                  + (', trained' if BRANCHES[branch].step != NEVER else '')}
        those = f'run{several} (of all replicates and copies)' if BRANCHES[branch].copies else (
            f'replicate{several} (three seeds each)')
        said += [f'At the end of training, over {about["replicates"]} {those}:',
                 '\n'.join(['| | mean | min | max |', '|---|---|---|---|', *(
                     f'| {titles[key]} | ' + ' | '.join(_shown(measure, value) for value in values) + ' |'
                     for key, values in spread.items())])]
    return '\n\n'.join([f'## {measure.title[0].upper()}{measure.title[1:]}', *said]) if said else ''


def _shown(measure, value):
    """A value with its unit; per cent close to the number, as all the shares here."""
    return measure.with_unit(value).replace(' %', '%')


def _files(about, words, measure):
    uses = {
        'saved_model': 'this folder: for TensorFlow and TensorFlow Serving, and for `tf_keras.models.load_model`',
        'tflite': 'float32, for LiteRT',
        'tflite_sparse': 'the same network, its weights as survivors and their places',
        'tflite_int8': 'int8 weights and activations, float32 inputs and outputs',
        'ticket': f'mask, {_start(about)}, to train it again: `tf_lottery.load_ticket`',
    }
    lines = ['## Files', '', '| file | what |', '|---|---|']
    lines += [f'| `{FORMS[form]}` | {uses[form]} |' for form in about['forms']]
    lines += ['', 'Each was loaded in a fresh process, the SavedModel without tf_lottery and Keras 2, the TFLite files '
              f'in LiteRT without TensorFlow, and run on {about["examples"]:,} examples: it predicts what the network '
              'in memory predicted, and its zeros are where ' +
              ('the mask says.' if 'frozen' not in about else 'they are in memory.') +
              _exceptions(about, words, measure)]
    lines += ['', '`sha256sum -c SHA256SUMS` checks them again.', '',
              f'`serving_default` takes {about["input"]}, and returns {about["output"]}.' +
              (words.others and f' {words.others}')]
    return '\n'.join(lines)


def _start(about):
    """What a ticket file holds beside the mask."""
    start = 'W_0 and step 0' if BRANCHES[about.get('branch', 'ticket')].weights is initial else 'W_k and k'
    return start.replace(' and', ',') + ' and what is frozen' if 'frozen' in about else start


def _exceptions(about, words, measure):
    """What is not so of each form, and sentences about int8."""
    said = ''
    if 'tflite_int8' in about['predictions_changed']:
        said += (f' int8 predicts {about["predictions_changed"]["tflite_int8"]:,} of them in another way, and '
                 'rounds some small weights to zero as well.')
    for name, error in about['int8_errors'].get('tflite_int8', {}).items():
        said += (f' The error of int8 in `{name}` is {error:.2%} of its range, as a root mean square; {INT8_ERROR:.0%} '
                 'may be.')
    scores = about.get(f'litert_{measure.name}', {}) if measure else {}
    if 'tflite_int8' in scores:
        said += ' ' + words.score.format(title=measure.title, value=_shown(measure, scores['tflite_int8']))
    for form, names in about['zeros_unseen'].items():
        said += (f' `{FORMS[form]}` holds {", ".join(f"`{name}`" for name in names)} in a way in which zeros cannot be '
                 'compared: there the predictions speak alone.')
    if about['fixed_batch']:
        files = ', '.join(f'`{FORMS[form]}`' for form in about['fixed_batch'])
        said += (f' LiteRT takes batches of exactly {max(about["fixed_batch"].values())} in {files}, where an LSTM '
                 'of Keras goes on from the state of the call before unless `interpreter.reset_all_variables()` is '
                 'called.')
    if about['keras_reads'] is False:
        said += (' `tf_keras.models.load_model` does not make the same model of this folder again: load it with '
                 '`tf.saved_model.load`.')
    return said


def _sizes(about):
    lines = ['## Size', '', '| form | weights | kept | bytes | gzipped | bound | of the bound |',
             '|---|---|---|---|---|---|---|']
    for form, size in about['sizes'].items():
        dense, _, kind = form.rpartition(' ')
        name = f'{dense} {_NAMES[kind]}'.strip()
        bound = f'{size["bound"]:,} | {size["raw"] / size["bound"]:.2f}' if 'bound' in size else '|'
        lines.append(f'| {name} | {size["weights"]:,} | {size["kept"]:,} | {size["raw"]:,} | {size["gzipped"]:,} | '
                     f'{bound} |')
    return '\n'.join([*lines, '', 'The bound is what a form cannot do without, in bytes: the numbers that it keeps, '
                      'biases and batch normalisation among them, of 32 bits, and the entropy of its mask.'])


def _shrunk(about):
    if not about['shrunk']:
        return ''
    lines = ['## Shrunk', '']
    changed = {name: change for name, change in about['shrunk'].items() if change['weights_left'] != change['weights']}
    if not changed:
        return '\n'.join([*lines, 'Every unit and channel is fed and read by kept weights: there was none to remove.'])
    lines += ['Units and channels that no kept weight feeds or reads were removed; what they computed was constant and '
              'went into the next bias, or into a constant channel that stands in for others. The ticket itself is '
              'whole. The layers that became smaller:', '',
              '| layer | units | left | numbers | left |', '|---|---|---|---|---|']
    return '\n'.join([*lines, *(
        f'| `{name}` | {change["channels"]:,} | {change["channels_left"]:,} | {change["weights"]:,} | '
        f'{change["weights_left"]:,} |' for name, change in changed.items())])


def _latency(about):
    if not about['latency']:
        return ''
    lines = ['## Latency', '', 'Processor time of the cheapest call in microseconds, on one thread of '
             f'{_processor()}, measured in turns in one run:', '',
             '| runtime | form | batch 1 | times as fast | batch 32 | times as fast |', '|---|---|---|---|---|---|']
    for each in about['latency']:
        for form, seconds in each['seconds'].items():
            cells = [cell for batch in ('1', '32') for cell in (
                (f'{1e6 * seconds[batch]:,.0f}', f'{each["seconds"]["dense"][batch] / seconds[batch]:.2f}')
                if batch in seconds else ('', ''))]
            lines.append(f'| {each["runtime"]} | {_NAMES.get(form, form)} | ' + ' | '.join(cells) + ' |')
    return '\n'.join([*lines, '', 'A SavedModel runs dense kernels: it is faster than the dense network by the units '
                      'and channels that were removed, not by zeros. The TFLite file without zeros is faster where a '
                      'dense layer keeps less than about a twentieth of its weights, or a 1x1 convolution a fortieth, '
                      'which LiteRT then runs on its sparse kernel; other layers are filled up with zeros when it is '
                      'loaded. int8 is faster for its smaller numbers.'])


def _processor():
    try:
        with open('/proc/cpuinfo') as file:
            models = [line.split(':', 1)[1].strip() for line in file if line.startswith('model name')]
    except OSError:
        models = []
    return f'{models[0] if models else platform.processor() or platform.machine()} ({os.cpu_count()} CPUs)'


def _layers(about):
    return '\n'.join(['## Density by layer', '', '| weight | kept |', '|---|---|',
                      *(f'| `{name}` | {density:.2%} |' for name, density in about['density_by_layer'].items())])


def _protocol(about, words):
    lines = ['## Where it comes from', '']
    if 'config' in about:
        config = about['config']
        training, pruning = config['training'], config['pruning']
        lines += [
            (words.origin and f'{words.origin} ') + _of_branch(about['branch']) + f'terative {_by(pruning)}, '
            f'{pruning["fraction"]:.0%} of the surviving {_structure(pruning).units} per level, {pruning["scope"]}, '
            f'rewound to {pruning["rewind_to"]}; {training["length"]} of training per level with '
            f'{_optimizer(training)}, batches of {training["batch_size"]}{_precision(about["config"])}. The whole '
            'config is in `ticket.json`.',
            '',
            f'Trained by `{about["trained_by"]}`, exported by `{about["command"]}`.', '']
    versions = ', '.join(f'{name} {version}' for name, version in about['versions'].items())
    return '\n'.join([*lines, f'Versions: {versions}.'])


def _of_branch(branch):
    """How a sentence about an experiment of iterative pruning begins, up to the letter i."""
    if branch == 'ticket':
        return 'I'
    return f'The branch `{branch}` ({BRANCHES[branch].title}; docs/guide.md says how it is made) of an experiment of i'


def _optimizer(training):
    if training['optimizer'] == 'own':
        return 'the optimizer that the model was compiled with'
    return f'{training["optimizer"]}, learning rate {training["learning_rate"]}'


def _precision(config):
    """A task of one's own says by its layers in which precision it is trained."""
    return f', {config["training"]["precision"]}' if config.get('task') is None else ''


def _by(pruning):
    """What weights were ranked by; a config of before there was a choice does not say."""
    criterion, form = pruning.get('criterion', 'magnitude'), _structure(pruning)
    ranked = 'magnitude pruning' if criterion == 'magnitude' else f'pruning by {CRITERIA[criterion].title}'
    return f'{ranked} ({form.title})' if form.title else ranked


def _structure(pruning):
    """What was pruned as one; a config of before there was a choice does not say."""
    return structure.find(pruning.get('structure'))


def _limits(about, words, measure):
    lines = ['## Limits', '']
    if 'config' in about:
        if measure:
            lines.append(f'- The level was chosen by means of the {measure.on_test} that is reported above, so that '
                         'it is slightly optimistic.')
        if words.limits:
            lines.append(f'- {words.limits}')
        if about['config']['training']['precision'] != 'float32':
            lines.append('- It was trained in mixed precision and is exported in float32, in which it was verified.')
    else:
        lines.append(f'- It was compared on {about["examples"]:,} examples only.')
        if about['given_in']:
            given = about['given_in']
            lines.append(f'- It was given in {given} and is exported in float32, which computes what {given} computes '
                         f'within {CLOSE_IN[given]:.0%} of the size of an output; the forms compute what float32 does.')
    return '\n'.join([*lines, '- Latencies are those of the machine that exported it.'])
