"""The folder of an experiment: whose it is, which runs there are, in what order, and where each one lies."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import platform
import shlex
from importlib import metadata

from tf_lottery.branches import BEGINNING, BRANCHES, END, NEVER, TAKEN, from_source
from tf_lottery.errors import MissingFileError, UsageError
from tf_lottery.experiment import sources
from tf_lottery.experiment.config import MOST_COPIES, differences
from tf_lottery.experiment.run import (  # noqa: F401
    DIVERGED,
    EMPTIED,
    FINISHED,
    LEFT_OUT,
    OUTCOMES,
    Run,
    outcome,
    replicate_folder,
)
from tf_lottery.pruning.subset_sum import WAYS
from tf_lottery.runtime import locks, storage
from tf_lottery.tasks.task import Facts
from tf_lottery.ticket import Mask, unpack

_CONFIG = 'config.json'

# A job lists the folders of all trainings several times over.
_MOST = 100_000

# The packages that TensorFlow comes in.
_TENSORFLOW = ('tensorflow', 'tensorflow-tpu', 'tensorflow-cpu')


def check_same(workdir, protocol):
    """Refuses a folder that holds something else; a folder that is not there passes.

    Raises:
      UsageError: the folder is of another experiment (the sentence names the first key that differs), or of none.
    """
    path = storage.join(workdir, _CONFIG)
    if not storage.exists(path):
        if not _is_untouched(workdir):
            raise UsageError(f'{workdir} holds files that are not of an experiment: choose another --workdir.')
        return
    stored = storage.read_json(path)
    differing = differences(stored['config'], protocol.config.to_dict())
    if differing:
        key, old, new = differing[0]
        # None cannot be written on the command line.
        same = '' if old is None else f', or give {shlex.quote(f"--config.{key}={old}")}'
        raise UsageError(f'{workdir} holds another experiment: its {key} is {old!r}, yours is {new!r}. Choose another '
                         f'--workdir{same}.')
    if 'facts' in stored and not Facts.from_json(stored['facts']).are_of(protocol.facts):
        raise UsageError(f'{workdir} holds another experiment: the weights or the examples of {protocol.facts.about} '
                         'have changed since. Choose another --workdir.')


def _is_untouched(workdir):
    """Whether nothing of an experiment lies in a folder but its config and locks: no training of it has begun."""
    names = set(storage.list_folder(workdir)) - locks.NAMES - {_CONFIG}
    return all(name.startswith(replicate_folder('')) and set(
        storage.list_folder(storage.join(workdir, name))) <= locks.NAMES for name in names)


def claim(workdir, protocol, command):
    """Makes a folder the experiment's own: writes the whole config, the versions and the command to config.json.

    A job that joins others with the same config and versions leaves the file, and so the first one's command, alone.
    Of sources of tickets it has what each was when the experiment first took something of it.

    Returns:
      bool, whether the folder was no experiment's before.

    Raises:
      UsageError: see `check_same`; or a source has changed since.
    """
    config, taken = protocol.config.to_dict(), sources.identities(protocol)

    def is_there():
        """Whether the file is as it would be written, and what that is."""
        check_same(workdir, protocol)
        path = storage.join(workdir, _CONFIG)
        stored = storage.read_json(path) if storage.exists(path) else {}
        own = {'name': config['name'], 'config': config, 'facts': protocol.facts.to_json(), 'versions': versions()}
        if taken or 'sources' in stored:
            own['sources'] = sources.unchanged(stored.get('sources', {}), taken)
        # As JSON has it, where a tuple is a list.
        return {key: stored.get(key) for key in own} == json.loads(json.dumps(own)), own

    if is_there()[0]:
        return False
    with locks.lock(workdir, wait=True):
        # Another job may have written it before the folder was locked.
        there, own = is_there()
        if there:
            return False
        new = not is_claimed(workdir)
        files = {} if new else {key: value for key, value in read_config(workdir).items() if key == 'files'}
        storage.write_json(storage.join(workdir, _CONFIG), {**own, **files, 'command': command})
        return new


def keep_files(workdir, files):
    """Writes what a task has made of its data into the folder of an experiment, and its hashes into config.json.

    Args:
      workdir: a claimed folder.
      files: {name: bytes}.

    Raises:
      UsageError: what was kept there before is another file, so that the data must have changed.
    """
    if not files:
        return
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    with locks.lock(workdir, wait=True):
        stored = read_config(workdir)
        known = stored.get('files', {})
        for name, content in files.items():
            if known.get(name, hashes[name]) != hashes[name]:
                raise UsageError(f'{workdir} was begun with another {name} than is made of the data now: give it the '
                                 'data that it had, or choose another --workdir.')
            if not storage.exists(storage.join(workdir, name)):
                storage.write_bytes(storage.join(workdir, name), content)
        if known != hashes:
            storage.write_json(storage.join(workdir, _CONFIG), {**stored, 'files': hashes})


def disclaim(workdir):
    """Takes `claim` back of an experiment that was refused before anything of it was trained."""
    with locks.lock(workdir, wait=True):
        if _is_untouched(workdir):
            storage.remove(storage.join(workdir, _CONFIG))


def versions():
    """The versions of Python and of what a result depends on: dict from name to str."""
    packages = {'tensorflow': _TENSORFLOW, **{name: (name,) for name in (
        'tf_keras', 'tensorflow-model-optimization', 'numpy')}}
    return {'python': platform.python_version(), **{name: _version(names) for name, names in packages.items()}}


def _version(names):
    """The version of the first of some packages that is installed."""
    for name in names[:-1]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return metadata.version(names[-1])


def is_claimed(workdir):
    """Whether the folder holds an experiment."""
    return storage.exists(storage.join(workdir, _CONFIG))


def read_config(workdir):
    """Returns what `claim` wrote.

    Raises:
      UsageError: the folder holds no experiment.
    """
    path = storage.join(workdir, _CONFIG)
    if not storage.exists(path):
        raise UsageError(f'{workdir} holds no experiment: run one first, or give its folder with --workdir.')
    return storage.read_json(path)


def check_replicate(protocol, replicate):
    """Refuses a replicate that an experiment does not have.

    Raises:
      UsageError.
    """
    count = protocol.config.replicates
    if replicate >= count:
        which = f'replicates 0 to {count - 1}' if count > 1 else 'replicate 0 only'
        more = f', or give --config.replicates={replicate + 1}' if replicate < MOST_COPIES else ''
        raise UsageError(f'--replicate is {replicate}, but this experiment has {which}: choose one of these{more}.')


def is_done(workdir, run):
    """Whether the run has come to an outcome: its result is written last."""
    return storage.exists(storage.join(workdir, run.folder, 'result.json'))


def read_results(workdir, those):
    """Reads the result.json of some runs that are done: list of dicts."""
    return storage.all_at_once(
        lambda run: storage.read_json(storage.join(workdir, run.folder, 'result.json')), those)


def listing(workdir, replicate):
    """The paths of all files of a replicate's runs, relative to the experiment's folder: a set, from one listing."""
    folder = replicate_folder(replicate)
    return {storage.join(folder, name) for name in storage.list_below(storage.join(workdir, folder), 3)}


def remove_leftovers(workdir, listed):
    """Removes the checkpoints of runs that are done, which a process left that died before it could."""
    for path in sorted(listed):
        folder, _, name = path.rpartition('/')
        if name.startswith('checkpoint_') and storage.join(folder, 'result.json') in listed:
            storage.remove(storage.join(workdir, path))


def read_mask(folder):
    """Reads the Mask of a run that is done from the run's folder."""
    return Mask.from_arrays(storage.read_arrays(storage.join(folder, 'mask.npz')))


def read_weights(folder, mask):
    """Reads the weights that a run ended in from the run's folder; `mask` is the run's own.

    Raises:
      CorruptFileError: the file is damaged.
    """
    return unpack(storage.read_arrays(storage.join(folder, 'weights.npz')), mask)


def pending(workdir, protocol, replicate=None):
    """The runs of `wanted` that are not done, in the same order."""
    return [run for one in _replicates(protocol, replicate)
            for run in _without(workdir, wanted(protocol, one), 'result.json', listing(workdir, one))]


def _without(workdir, those, name, listed):
    """Those of a replicate's runs, in order, that lack a file of some name.

    What was written last may not be listed yet. It is looked for by its name, up to the first run that has none.
    """
    return list(itertools.dropwhile(
        lambda run: storage.exists(storage.join(workdir, run.folder, name)), unlisted(those, listed, name)))


def unlisted(those, listed, name='result.json'):
    """Those of some runs of which a listing lacks a file of some name."""
    return [run for run in those if storage.join(run.folder, name) not in listed]


def _replicates(protocol, replicate):
    return range(protocol.config.replicates) if replicate is None else (replicate,)


def is_finished(workdir, protocol, replicate):
    """Whether all runs of a replicate are done, and measured what is asked for beside them."""
    return not any(missing(workdir, protocol, replicate) for missing in (
        pending, missing_lines, missing_constructions, missing_deletions))


def wanted(protocol, replicate=None):
    """Lists the runs of an experiment so that each comes after those it is made from.

    Args:
      protocol: config.Protocol.
      replicate: int, to list only its runs; None for all.

    Returns:
      list of Run: replicate by replicate, rewinding step by rewinding step, level by level, branches in the config's
      order. What a run is made from is there too: a control at level 7 brings the tickets of levels 0 to 6, a
      subnetwork on other data orders the same one on the replicate's own.
    """
    chosen, levels = [name for name, _ in _branches(protocol)], _levels(protocol)
    # Chains that were not asked for by name come first: others are made from them.
    # Last those that start from what another branch has come to at the same level.
    order = sorted(levels, key=lambda branch: (
        BRANCHES[branch].source is not None, BRANCHES[branch].chain != branch and branch != 'ticket',
        chosen.index(branch) if branch in chosen else -1))
    rewinds = protocol.rewind_steps if len(protocol.rewind_steps) > 1 else (None,)
    runs = []
    for number in _replicates(protocol, replicate):
        runs.append(Run(number, 0, 'ticket'))
        for rewind, level, branch in itertools.product(rewinds, sorted(set().union(*levels.values())), order):
            if level in levels[branch]:
                runs += [Run(number, level, branch, copy, rewind) for copy in range(_copies(protocol, branch))]
    return runs


def _levels(protocol):
    """The levels at which each branch is trained, for itself or because others are made from it: dict of sets."""
    levels = {}
    for branch, at in _branches(protocol):
        if BRANCHES[branch].reorders == 'ticket' and protocol.reorders_dense:
            at = (0, *at)
        levels.setdefault(branch, set()).update(at)
        for other in (BRANCHES[branch].reorders, BRANCHES[branch].source):
            levels.setdefault(other or branch, set()).update(set(at) - {0})
        chain = BRANCHES[branch].chain
        if chain and at:
            levels.setdefault(chain, set()).update(range(1, max(at)))
    return levels


def _branches(protocol):
    """The branches of the config, those that transfer from each source, and their levels: list of (str, levels)."""
    found = []
    for branch in protocol.config.branches:
        if BRANCHES[branch].transfers:
            found += [(from_source(branch, name), protocol.branch_levels if source.level is None else (source.level,))
                      for name, source in protocol.sources.items()]
        else:
            found.append((branch, range(1, protocol.levels + 1) if branch == 'ticket' else protocol.branch_levels))
    return found


def _copies(protocol, branch):
    """int, how many of a branch are trained per ticket."""
    copies = BRANCHES[branch].copies
    return protocol.config[copies] if copies else 1


def check_extent(protocol):
    """Refuses an experiment of too many trainings, before they are listed.

    Raises:
      UsageError.
    """
    each = sum(_copies(protocol, branch) * len(levels) for branch, levels in _levels(protocol).items())
    count = protocol.config.replicates * (1 + len(protocol.rewind_steps) * each)
    if count > _MOST:
        raise UsageError(f'this experiment has {count:,} trainings, and a folder is looked through for {_MOST:,} at '
                         'most: give fewer of pruning.levels, branch_levels, replicates, reinits, data_orders or '
                         'pruning.rewind_to.')


def run_steps(protocol, run):
    """The steps that a run starts and ends at: (int, int); equal where it is only evaluated."""
    end, rewind = protocol.end_step, rewind_step(protocol, run)
    branch = BRANCHES[run.branch]
    step = BEGINNING if run == Run(run.replicate, 0, 'ticket') else branch.step
    if step == TAKEN:
        follows = protocol.config.transfer.start == 'source'
        return (protocol.sources[branch.origin].step if follows else 0), end
    return {BEGINNING: (0, end), END: (end, 2 * end - rewind), NEVER: (0, 0)}.get(step, (rewind, end))


def rewind_step(protocol, run):
    """int, the rewinding step k of a run; for the dense network of a sweep the first one."""
    return protocol.rewind_steps[0] if run.rewind is None else run.rewind


def original(run):
    """The run on the replicate's own data order of the subnetwork that `run` trains on another one."""
    branch = BRANCHES[run.branch].reorders
    # Level 0 of 'ticket' is the dense network, which the rewinding steps share.
    return Run(run.replicate, run.level, branch, 0, run.rewind if run.level else None)


def missing_lines(workdir, protocol, replicate=None):
    """The runs on other data orders between whose weights and those of `original` errors have not been measured.

    A line that was measured at another number of points, or on other examples, is measured anew. There is none to or
    from a run that has not come to an end.
    """
    return [run for one in _replicates(protocol, replicate) for run in _missing_lines(workdir, protocol, one)]


def _missing_lines(workdir, protocol, replicate):
    wish = protocol.config.connectivity
    copies = [run for run in wanted(protocol, replicate) if BRANCHES[run.branch].reorders]
    if not wish.points or not copies:
        return []
    listed = listing(workdir, replicate)
    missing = set(_without(workdir, copies, 'connectivity.json', listed))
    measured = [run for run in copies if run not in missing]
    lines = storage.all_at_once(
        lambda run: storage.read_json(storage.join(workdir, run.folder, 'connectivity.json')), measured)
    missing.update(run for run, line in zip(measured, lines, strict=True) if len(line['position']) != wish.points
                   or line['examples'] != min(wish.examples, protocol.facts.train))
    ends = dict.fromkeys(end for run in missing for end in (original(run), run)
                         if storage.join(end.folder, 'result.json') in listed)
    endless = {end for end, result in zip(ends, read_results(workdir, ends), strict=True)
               if outcome(result) != FINISHED}
    return [run for run in copies if run in missing and not {original(run), run} & endless]


@dataclasses.dataclass(frozen=True)
class Construction:
    """A random network that is pruned until it is near the dense network of a replicate.

    Attributes:
      run: Run, the dense network.
      width: int, the random units for each input of a layer and each sign.
      way: str, one of `subset_sum.WAYS`: how it is pruned.
    """

    run: Run
    width: int
    way: str


def constructions(protocol, replicate=None):
    """Those of an experiment, in the order in which they are made: list of Construction."""
    return [Construction(Run(one, 0, 'ticket'), width, name)
            for one in _replicates(protocol, replicate) for width in sorted(protocol.config.construction.widths)
            for name, way in WAYS.items() if way.most is None or width <= way.most]


def read_constructions(workdir, run):
    """What has been measured of the constructions of a dense network: list of dicts, its construction.json."""
    try:
        return storage.read_json(storage.join(workdir, run.folder, 'construction.json'))
    except MissingFileError:
        return []


def missing_constructions(workdir, protocol, replicate=None):
    """Those of `constructions` that have not been measured, of dense networks that are not known to have diverged."""
    missing = []
    for one in _replicates(protocol, replicate):
        run, wish = Run(one, 0, 'ticket'), constructions(protocol, one)
        if wish and not (is_done(workdir, run) and outcome(*read_results(workdir, [run])) != FINISHED):
            done = {(row['width'], row['way']) for row in read_constructions(workdir, run)}
            missing += [each for each in wish if (each.width, each.way) not in done]
    return missing


def missing_deletions(workdir, protocol, replicate=None):
    """The dense networks on which it has not been measured what deleting weights does to the loss.

    Optimal Brain Damage predicts that, and so it is measured where this is what weights are ranked by. There is none of
    a network that has not come to an end, or of which nothing is ever pruned.
    """
    if protocol.config.pruning.criterion != 'obd' or not any(protocol.fractions.values()):
        return []
    return [run for one in _replicates(protocol, replicate) for run in _missing_deletions(workdir, one)]


def _missing_deletions(workdir, replicate):
    listed, dense = listing(workdir, replicate), Run(replicate, 0, 'ticket')
    ended = storage.join(dense.folder, 'result.json') in listed
    if ended and outcome(*read_results(workdir, [dense])) != FINISHED:
        return []
    return _without(workdir, [dense], 'deletion.json', listed)
