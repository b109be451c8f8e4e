"""Sources of tickets: other experiments, or files of a ticket, that an experiment takes masks and weights from.

A source is read, never written. What an experiment takes of it is written into its own config.json with a checksum, so
that all of its runs start from the same tickets, or from none.
"""

import dataclasses
import hashlib
import math

from ml_collections import config_dict

from tf_lottery.errors import CorruptFileError, LeftOutError, MissingFileError, UsageError, in_one_line
from tf_lottery.experiment import ticket_file
from tf_lottery.experiment.run import EMPTIED, LEFT_OUT, Run, outcome
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, Ticket


@dataclasses.dataclass(frozen=True)
class Source:
    """Where tickets are taken from.

    Attributes:
      path: str, the folder of an experiment, or a ticket file.
      about: str, what was trained on what there.
      shapes: {weight name: shape}, what its masks are over.
      step: int, the rewinding step k of its tickets.
      level: int, the level that a ticket file, which holds one ticket, is trained at; None of an experiment, which has
        one of each level and replicate.
    """

    path: str
    about: str
    shapes: dict
    step: int
    level: int | None = None

    def to_json(self):
        """A dict that JSON can hold; `restored` reads it."""
        return dataclasses.asdict(self)

    def missing(self, shapes):
        """The names of those of some weights, a mapping from name to shape, that it has in no such shape: list."""
        return [name for name, shape in shapes.items() if self.shapes.get(name) != shape]

    def files(self, replicate, level):
        """The names, below its path, of what the ticket of a replicate and level is read from; '' is the path itself.

        Of an experiment these are mask and W_k; what its run came to says whether they are there.
        """
        if self.level is not None:
            return ('',)
        run = Run(replicate, level, 'ticket')
        return storage.join(run.folder, 'mask.npz'), run.rewound_weights

    def ticket(self, replicate, level, checksums):
        """Reads the Ticket of a replicate and level.

        Args:
          replicate, level: int; of a ticket file they are not read.
          checksums: {name below its path: str}, what `identities` had of its files when they were first taken.

        Raises:
          LeftOutError: the source came to no such ticket.
          UsageError: it has changed since.
        """
        if self.level is None:
            _require_ticket(self.path, replicate, level)
        for name in self.files(replicate, level):
            _require_same(self.path, name, checksums.get(name), _checksum(self.path, name))
        if self.level is not None:
            return ticket_file.load_ticket(self.path)
        mask, weights = (storage.read_arrays(storage.join(self.path, name)) for name in self.files(replicate, level))
        return Ticket(Mask.from_arrays(mask), weights, self.step)


def name_of(path):
    """What runs and titles call a source by: the name of its folder; of a ticket file that of the file, or in the
    folder of an export that of this folder."""
    folder, _, name = storage.without_slash(path).rpartition('/')
    stem, is_file, _ = name.rpartition('.ticket')
    if not is_file:
        return name
    return folder.rpartition('/')[2] if stem == 'rewound' and folder else stem


def find(protocol, promised=None):
    """What an experiment may take tickets from, checked as far as can be without reading them.

    Args:
      protocol: config.Protocol, without sources.
      promised: {path: Protocol} of experiments that will have been trained before tickets are taken, and need not be
        there yet.

    Returns:
      dict from name to Source.

    Raises:
      UsageError: a source is none, is not finished, or is of another network.
    """
    found = {}
    for path in protocol.config.sources:
        name = name_of(path)
        if name in found:
            raise UsageError(f'sources names {found[name].path} and {path}, which are both called {name!r}, as the '
                             'runs that take from them would be: rename one of the two.')
        found[name] = _source(path, protocol, (promised or {}).get(path))
        _check(found[name], protocol)
    return found


def _source(path, protocol, promised):
    if promised:
        _check_protocol(path, protocol, promised.config)
        return Source(path, promised.facts.about, promised.shapes, promised.rewind_steps[0])
    if storage.exists(storage.join(path, 'config.json')):
        return _of_experiment(path, protocol)
    if path.endswith('.ticket') and storage.exists(path):
        return _of_file(path, protocol)
    raise UsageError(f'sources names {in_one_line(path)}, which is neither the folder of an experiment nor a ticket '
                     'file: give a folder that holds config.json, or a file NAME.ticket that an export or '
                     'tf_lottery.save_ticket wrote.')


def _of_experiment(path, protocol):
    stored = storage.read_json(storage.join(path, 'config.json'))
    _check_protocol(path, protocol, config_dict.ConfigDict(stored['config']))
    runs = [Run(replicate, level, 'ticket') for replicate in range(protocol.config.replicates)
            for level in (0, *protocol.branch_levels)]
    there = storage.all_at_once(lambda run: storage.exists(storage.join(path, run.folder, 'result.json')), runs)
    for run, is_there in zip(runs, there, strict=True):
        if not is_there:
            raise UsageError(f'sources names {path}, which has not finished {run.folder}: run it to its end first, by '
                             'the command in its config.json.')
    dense = runs[0].folder
    mask = Mask.from_arrays(storage.read_arrays(storage.join(path, dense, 'mask.npz')))
    result = storage.read_json(storage.join(path, dense, 'result.json'))
    about = stored['facts']['about'] if 'facts' in stored else stored['name']
    return Source(path, about, _shapes(mask), result['rewind_step'])


def _check_protocol(path, protocol, theirs):
    """Refuses a source whose tickets are none of the replicates, levels, densities or structure of the experiment.

    Args:
      path: str, the source.
      protocol: config.Protocol of the experiment.
      theirs: ConfigDict of the source.
    """
    own = protocol.config
    if ',' in theirs.pruning.rewind_to:
        raise UsageError(f'sources names {path}, whose tickets are rewound to several steps, {theirs.pruning.rewind_to}'
                         ': give an experiment of one pruning.rewind_to.')
    for key, mine, its in (('replicates', own.replicates, theirs.replicates),
                           ('pruning.levels', max(protocol.branch_levels, default=0), theirs.pruning.levels)):
        if mine > its:
            raise UsageError(f'{key} is {own.replicates if key == "replicates" else own.pruning.levels}, and {path}, '
                             f'which sources names, has {key}={its}: give as many or fewer, or run more of the source.')
    for key in ('fraction', 'structure'):
        if own.pruning[key] != theirs.pruning.get(key):
            raise UsageError(f'pruning.{key} is {own.pruning[key]!r}, and {path}, which sources names, was pruned with '
                             f'{theirs.pruning.get(key)!r}: give the same, or another source.')


def _of_file(path, protocol):
    ticket = ticket_file.load_ticket(path)
    if ticket.frozen is not None:
        raise UsageError(f'sources names {path}, whose pruned weights are frozen at other values than zero: give a '
                         'ticket whose pruned weights are zero.')
    if not protocol.branch_levels:
        raise UsageError(f'sources names {path}, and this experiment has no level to train it at: give '
                         'pruning.levels=1 or more.')
    density = math.log(ticket.mask.density or 1e-9)
    level = min(protocol.branch_levels, key=lambda level: abs(math.log(protocol.densities[level]) - density))
    return Source(path, 'a ticket file', _shapes(ticket.mask), ticket.step, level)


def _shapes(mask):
    return {name: array.shape for name, array in mask.items()}


def _check(source, protocol):
    """Refuses a source of another network, and one whose k lies behind the end of training."""
    config = protocol.config
    if set(source.shapes) != set(protocol.shapes):
        odd = sorted(set(source.shapes) ^ set(protocol.shapes))[0]
        whose = 'that one' if odd in source.shapes else 'this experiment'
        raise UsageError(f'sources names {source.path}, which is of another network ({source.about}, and this is '
                         f'{protocol.facts.about}): the weight {odd} is of {whose} only, so give a source of the same '
                         'network.')
    if len(source.missing(protocol.shapes)) == len(protocol.shapes):
        name, shape = next(iter(protocol.shapes.items()))
        raise UsageError(f'sources names {source.path}, none of whose weights has the shape that it has here ({name} '
                         f'is {source.shapes[name]} there and {shape} here): give a source of the same network.')
    if config.transfer.start == 'source' and source.step >= protocol.end_step:
        raise UsageError(f'sources names {source.path}, whose tickets start at step {source.step:,}, and training here '
                         f'ends at step {protocol.end_step:,}: give a longer training.length, or '
                         "transfer.start='anew'.")
    if source.level is not None and 'transferred_weights' in config.branches:
        raise UsageError(f'sources names {source.path}, a ticket file, which does not keep the weights that are '
                         "pruned: leave out the branch 'transferred_weights', or give the folder of the experiment.")


def identities(protocol):
    """What an experiment takes from its sources: dict from name to what JSON can hold, with a checksum of each file."""
    found = {}
    for name, source in protocol.sources.items():
        names = sorted({each for replicate in range(protocol.config.replicates) for level in protocol.branch_levels
                        for each in source.files(replicate, level)})
        checksums = storage.all_at_once(lambda each, path=source.path: _checksum(path, each), names)
        found[name] = {**source.to_json(), 'files': {
            each: checksum for each, checksum in zip(names, checksums, strict=True) if checksum}}
    return found


def unchanged(stored, taken):
    """What config.json is to have of sources: all that it had before, and what more is taken now.

    Args:
      stored, taken: dicts of `identities`, what config.json has and what is taken now.

    Raises:
      UsageError: a file has changed since.
    """
    merged = dict(stored)
    for name, source in taken.items():
        known = stored.get(name, {}).get('files', {})
        for each in sorted(known.keys() & source['files'].keys()):
            _require_same(source['path'], each, known[each], source['files'][each])
        merged[name] = {**source, 'files': {**known, **source['files']}}
    return merged


def restored(stored, paths):
    """The sources that a config.json has, of those paths that its config names: dict from name to Source."""
    fields = [field.name for field in dataclasses.fields(Source)]
    found = {}
    for name in map(name_of, paths):
        if name in stored:
            kept = {field: stored[name][field] for field in fields}
            found[name] = Source(**{**kept, 'shapes': {
                weight: tuple(shape) for weight, shape in kept['shapes'].items()}})
    return found


def _checksum(path, name):
    """SHA-256 of a file of a source, or None where it has none: a run that was not trained has no mask."""
    try:
        return hashlib.sha256(storage.read_bytes(storage.join(path, name) if name else path)).hexdigest()
    except MissingFileError:
        return None


def _require_same(path, name, before, now):
    if before != now:
        what = f'{name} of {path}' if name else path
        raise UsageError(f'{what}, a source of this experiment, has changed since tickets were first taken from it: '
                         'put it back as it was, or choose another --workdir.')


# What is said of a ticket that cannot be taken.
_NO_TICKET = {EMPTIED: 'would have had a layer without weights', LEFT_OUT: 'was left out'}


def _require_ticket(path, replicate, level):
    """Raises LeftOutError where the source has no ticket, for its own runs ended in another way."""
    for run in (Run(replicate, 0, 'ticket'), Run(replicate, level, 'ticket')):
        try:
            how = outcome(storage.read_json(storage.join(path, run.folder, 'result.json')))
        except MissingFileError as error:
            raise CorruptFileError(f'{storage.join(path, run.folder)} of a source is lost: put it back as it was.'
                                   ) from error
        if how in _NO_TICKET:
            raise LeftOutError(f'{run.folder} of {path} {_NO_TICKET[how]}.', LEFT_OUT, None)
