"""A matrix of transfers: several experiments of one config, each of which takes tickets from the others.

A member is trained in two rounds in one folder: first its own tickets, which others wait for, and when all of these are
there the branches that take from them.
"""

import dataclasses

from ml_collections import config_dict

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import UsageError, shown
from tf_lottery.experiment import config as base
from tf_lottery.experiment import runs, sources
from tf_lottery.experiment.config import Protocol
from tf_lottery.runtime import storage


@dataclasses.dataclass(frozen=True)
class Member:
    """An experiment of a matrix.

    Attributes:
      name: str.
      workdir: str, its folder.
      planned: config.Protocol of all of it, though its sources may not be there yet.
      found: config.Protocol of what others take from it, its own tickets; None where nobody does.
    """

    name: str
    workdir: str
    planned: Protocol
    found: Protocol | None


def members(config, workdir, data_dir=None):
    """The experiments of a config that has a `matrix`: list of Member.

    Each is the config without its `matrix`, with the keys that the matrix has under the member's name. It takes from
    all others, or from those that its `sources` names, unless none of its branches takes anything.

    Args:
      config: ConfigDict.
      workdir: str, what holds the folders of all.
      data_dir: as of `config.check`.

    Raises:
      UsageError: a member cannot be, or another one cannot take from it.
    """
    if runs.is_claimed(workdir):
        raise UsageError(f'{workdir} holds an experiment, and a matrix keeps one folder for each of its own in it: '
                         'choose another --workdir.')
    names = list(config.matrix)
    alone = {storage.join(workdir, name): base.check_alone(_config(config, name, names, workdir), data_dir)
             for name in names}
    taken = {path for each in alone.values() for path in each.config.sources}
    return [Member(name, path, dataclasses.replace(each, sources=sources.find(each, alone)),
                   _own_tickets(each) if path in taken else None)
            for name, (path, each) in zip(names, alone.items(), strict=True)]


def _config(config, name, names, workdir):
    """The config of a member."""
    member = config.copy_and_resolve_references()
    changes = base.flatten(config.matrix[name].to_dict())
    member.unlock()
    member.matrix = config_dict.ConfigDict()
    member.name = name
    for key in changes:
        base.check_key(key)
    # As on the command line; the check of values says what each may be.
    with member.ignore_type():
        member.update_from_flattened_dict(changes)
    given = tuple(member.sources) or tuple(other for other in names if other != name)
    for other in given:
        if other not in names or other == name:
            raise UsageError(f'matrix.{name}.sources names {shown(other)}: give others of the matrix, which are '
                             f'{", ".join(each for each in names if each != name)}.')
    takes = any(BRANCHES[branch].transfers for branch in member.branches if branch in BRANCHES)
    member.sources = tuple(storage.join(workdir, other) for other in given) if takes else ()
    return member


def _own_tickets(protocol):
    """The Protocol of a member's own tickets, in the same folder."""
    config = protocol.config.copy_and_resolve_references()
    config.branches, config.sources = ('ticket',), ()
    return dataclasses.replace(protocol, config=config)
