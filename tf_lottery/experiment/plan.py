"""What an experiment would train, what of it is done, and what the rest will cost; instant, without TensorFlow."""

import collections
import math
import statistics
import time

import numpy as np

from tf_lottery.branches import BRANCHES
from tf_lottery.experiment import claims, runs
from tf_lottery.pruning import allocation
from tf_lottery.runtime import storage

# docs/performance.md: the share of a machine's GEMM rate that training with its evaluations reaches.
_EFFICIENCY = 0.4

_BYTES_PER_ROW = 110

# Of more levels not every density is shown.
_DENSITIES = 50

# Arrays of a weight's size that an optimizer keeps for it.
_SLOTS = {'sgd': 0, 'momentum': 1, 'adam': 2, 'rmsprop': 2, 'own': 2}

# The width of the column of branches.
_TITLE = 2 + max(len(branch.title) for branch in BRANCHES.values())


def describe(workdir, protocol, replicate=None, examples_per_second=None):
    """Describes an experiment.

    Args:
      workdir: its folder, which need not exist.
      protocol: config.Protocol.
      replicate: int, the only one to describe; None: all.
      examples_per_second: float, how many are trained on per second; None measures how fast this processor is.

    Returns:
      Text of several lines: trainings by branch, levels with their densities, steps, operations, time and disk, and
      which jobs train which replicate now.
    """
    wanted = runs.wanted(protocol, replicate)
    todo = runs.pending(workdir, protocol, replicate)
    missing = set(todo)
    done = [run for run in wanted if run not in missing]
    steps = sum(_steps(protocol, run) for run in todo)
    per_step, source = _seconds_per_step(workdir, protocol, wanted, examples_per_second)
    operations = steps * _operations_per_step(protocol)
    config = protocol.config
    lines = [
        f'{config.name}: {protocol.facts.about}, {protocol.end_step:,} steps a run of batch '
        f'{config.training.batch_size}, rewinding to step ' + ', '.join(f'{step:,}' for step in protocol.rewind_steps),
        f'folder      {workdir}',
        '',
        f'{"branch":<{_TITLE}}{"levels":<22}{"trainings":>10}{"done":>8}{"to do":>8}',
    ]
    left = collections.Counter(run.branch for run in todo)
    for branch, count in collections.Counter(run.branch for run in wanted).items():
        levels = {run.level for run in wanted if run.branch == branch}
        lines.append(f'{BRANCHES[branch].title:<{_TITLE}}{_ranges(levels):<22}{count:>10}{count - left[branch]:>8}'
                     f'{left[branch]:>8}')
    densities = _densities(protocol)
    every = math.ceil(len(densities) / _DENSITIES)
    missing_lines = runs.missing_lines(workdir, protocol, replicate)
    lines += [
        f'{"all":<{_TITLE + 22}}{len(wanted):>10}{len(done):>8}{len(todo):>8}',
        *_outcomes(workdir, done),
        '',
        'densities   ' + ' '.join(f'{100 * density:.1f}' for density in densities[::every]) + ' %'
        + (f', of each {every} levels the first' if every > 1 else ''),
        f'to train    {steps:,} steps, {steps * config.training.batch_size:,} examples; '
        f'{steps * _evaluated(protocol):,.0f} to evaluate on; {operations:.1e} floating-point operations',
        *([f'to measure  {len(missing_lines)} lines between two copies, {config.connectivity.points} places each']
          if missing_lines else []),
        f'time        about {duration(steps * per_step)} ({source})',
        f'disk        about {size(sum(_bytes(protocol, run, densities[run.level]) for run in wanted))} when finished, '
        f'and {size(2 * 4 * (1 + _SLOTS[config.training.optimizer]) * sum(_sizes(protocol).values()))} for checkpoints '
        'while training',
        *(f'working     {owner} on replicate {one}' for one, owner in claims.holders(workdir, protocol).items()),
    ]
    return '\n'.join(lines)


def _outcomes(workdir, done):
    """How many of the runs that are done ended in another way than finished: a line, where there are any."""
    counts = collections.Counter(map(runs.outcome, runs.read_results(workdir, done)))
    others = ', '.join(f'{counts[outcome]} {outcome}' for outcome in runs.OUTCOMES[1:] if counts[outcome])
    return [f'of which    {others}'] if others else []


def duration(seconds):
    """A length of time in words that suit its size."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    if seconds < 5400:
        return f'{seconds / 60:.0f} min'
    return f'{seconds / 3600:,.1f} h'


def size(count):
    """A number of bytes in words that suit its size."""
    for unit in ('B', 'kB', 'MB', 'GB'):
        if count < 1000 or unit == 'GB':
            return f'{count:.0f} {unit}' if unit == 'B' or count >= 100 else f'{count:.1f} {unit}'
        count /= 1000


def _sizes(protocol):
    return {name: math.prod(shape) for name, shape in protocol.shapes.items()}


def _steps(protocol, run):
    start, end = runs.run_steps(protocol, run)
    return end - start


def _densities(protocol):
    """The density of each level from 0 on: list of float."""
    sizes = _sizes(protocol)
    return [sum(allocation.keep_count(count, allocation.level_density(protocol.fractions[name], level))
                for name, count in sizes.items()) / sum(sizes.values()) for level in range(protocol.levels + 1)]


def _bytes(protocol, run, density):
    """The mask's bits, the weights that are left, and a row per evaluation."""
    weights = sum(math.prod(shape) for shape in protocol.shapes.values())
    rows = _steps(protocol, run) / protocol.evaluate_every
    return weights / 8 + 4 * weights * density + _BYTES_PER_ROW * rows + 4000


def _evaluated(protocol):
    """Examples that are evaluated per training step."""
    return (protocol.facts.validation + protocol.facts.test) / protocol.evaluate_every


def _operations_per_step(protocol):
    """Of a training step with its share of the evaluations: a product forwards and two backwards, of a multiplication
    and an addition each."""
    return protocol.multiplications * (6 * protocol.config.training.batch_size + 2 * _evaluated(protocol))


def _seconds_per_step(workdir, protocol, wanted, examples_per_second):
    """Seconds per training step with its share of the evaluations, and where the number comes from."""
    if examples_per_second:
        # Evaluation only goes forwards.
        examples = protocol.config.training.batch_size + _evaluated(protocol) / 3
        return examples / examples_per_second, (
            f'at {examples_per_second:,.0f} examples/s in training, thrice that in evaluation')
    timings = []
    for run in wanted:
        path = storage.join(workdir, run.folder, 'timing.json')
        if storage.exists(path):
            timing = storage.read_json(path)
            timings.append(timing['seconds'] / timing['steps'])
    if timings:
        return statistics.median(timings), f'from the {len(timings)} trainings that are done'
    rate = _gemm_rate()
    return _operations_per_step(protocol) / (_EFFICIENCY * rate), (
        f'estimated from {rate / 1e9:.0f} GFLOP/s of matrix products just measured here, {_EFFICIENCY:.0%} of them '
        'used; a GPU is faster')


def _gemm_rate():
    """Floating-point operations per second of a float32 matrix product, the best of three."""
    side = 1024
    matrix = np.ones((side, side), np.float32)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds)


def _ranges(levels):
    """{0, 1, 2, 5} as '0-2, 5'."""
    parts = []
    for level in sorted(levels):
        if parts and level == parts[-1][1] + 1:
            parts[-1][1] = level
        else:
            parts.append([level, level])
    return ', '.join(f'{first}-{last}' if first != last else f'{first}' for first, last in parts)
