"""The folder of an experiment: whose it is, which runs there are, in what order, and where each one lies."""

import dataclasses
import platform
from importlib import metadata

from tf_lottery import storage
from tf_lottery.branches import BEGINNING, BRANCHES, END
from tf_lottery.config import differences
from tf_lottery.errors import UsageError

_CONFIG = 'config.json'


def check_same(workdir, protocol):
    """Refuses a folder that holds something else; a folder that is not there passes.

    Raises:
      UsageError: the folder is of another experiment (the sentence names the first key that differs), or of none.
    """
    path = storage.join(workdir, _CONFIG)
    if not storage.exists(path):
        if set(storage.list_folder(workdir)) - {'.lock', 'lock.json'}:
            raise UsageError(f'{workdir} holds files that are not of an experiment: choose another --workdir.')
        return
    differing = differences(storage.read_json(path)['config'], protocol.config.to_dict())
    if differing:
        key, old, new = differing[0]
        raise UsageError(f'{workdir} holds another experiment: its {key} is {old!r}, yours is {new!r}. Choose another '
                         f'--workdir, or give --config.{key}={old}.')


def claim(workdir, protocol, command):
    """Makes a folder the experiment's own: writes the whole config, the versions and the command to config.json.

    Raises:
      UsageError: see `check_same`.
    """
    check_same(workdir, protocol)
    packages = ('tensorflow', 'tf_keras', 'tensorflow-model-optimization', 'numpy')
    versions = {'python': platform.python_version(), **{name: metadata.version(name) for name in packages}}
    config = protocol.config.to_dict()
    storage.write_json(storage.join(workdir, _CONFIG), {
        'name': config['name'], 'config': config, 'versions': versions, 'command': command})


def read_config(workdir):
    """Returns what `claim` wrote.

    Raises:
      UsageError: the folder holds no experiment.
    """
    path = storage.join(workdir, _CONFIG)
    if not storage.exists(path):
        raise UsageError(f'{workdir} holds no experiment: run one first, or give its folder with --workdir.')
    return storage.read_json(path)


@dataclasses.dataclass(frozen=True, order=True)
class Run:
    """One training: a branch at a level of a replicate. Level 0 of 'ticket' is the dense network."""

    replicate: int
    level: int
    branch: str
    copy: int = 0

    @property
    def folder(self):
        """The run's folder below the experiment's."""
        name = f'{self.branch}_{self.copy}' if BRANCHES[self.branch].several else self.branch
        return storage.join(f'replicate_{self.replicate}', f'level_{self.level:02d}', name)


def is_done(workdir, run):
    """Whether the run has finished: its result is written last."""
    return storage.exists(storage.join(workdir, run.folder, 'result.json'))


def wanted(protocol):
    """Lists the runs of an experiment so that each comes after those it is made from.

    Args:
      protocol: config.Protocol.

    Returns:
      list of Run: replicate by replicate, level by level, branches in the config's order. Chains are complete: a
      control at level 7 brings the tickets of levels 0 to 6.
    """
    chosen = protocol.config.branches
    levels = {}
    for branch in chosen:
        at = range(1, protocol.levels + 1) if branch == 'ticket' else protocol.branch_levels
        levels.setdefault(branch, set()).update(at)
        chain = BRANCHES[branch].chain
        if chain and at:
            levels.setdefault(chain, set()).update(range(1, max(at)))
    # Chains that were not asked for by name come first: others are made from them.
    order = sorted(levels, key=lambda branch: (BRANCHES[branch].chain != branch and branch != 'ticket',
                                               chosen.index(branch) if branch in chosen else -1))
    runs = []
    for replicate in range(protocol.config.replicates):
        runs.append(Run(replicate, 0, 'ticket'))
        for level in range(1, protocol.levels + 1):
            for branch in order:
                if level in levels[branch]:
                    copies = protocol.config.reinits if BRANCHES[branch].several else 1
                    runs += [Run(replicate, level, branch, copy) for copy in range(copies)]
    return runs


def run_steps(protocol, run):
    """The steps that a run starts and ends at: (int, int)."""
    end, rewind = protocol.end_step, protocol.rewind_step
    step = BEGINNING if run.level == 0 else BRANCHES[run.branch].step
    return {BEGINNING: (0, end), END: (end, 2 * end - rewind)}.get(step, (rewind, end))
