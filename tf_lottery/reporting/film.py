"""The film of a report: what the dense network, a ticket and a random ticket do, side by side.

It is made once, of what the runs have been trained to, and kept in the folder of the report.
"""

import dataclasses

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import MissingFileError, UsageError
from tf_lottery.experiment import runs
from tf_lottery.experiment.config import restore
from tf_lottery.reporting import page, results
from tf_lottery.reporting.pictures import film as drawn
from tf_lottery.runtime import keras2, storage

# Whom a ticket is shown beside: the first of these that has been trained at its level.
_RANDOM = ('random_sparse', 'random_global', 'random_mask', 'random_reinit')

SECTION = 'What the networks do'


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a page shows of a film.

    Attributes:
      gif: bytes; None where there is no film.
      alternative, caption: str, as of `pictures.Picture`.
      obstacle: str, a sentence on why there is none where there should be one; else ''.
    """

    gif: bytes | None = None
    alternative: str = ''
    caption: str = ''
    obstacle: str = ''

    @property
    def pictures(self):
        """What `page.draw` returns of it."""
        if self.gif is None:
            return {}
        return {SECTION: [{'alternative': self.alternative, 'caption': self.caption, **page.inside(self.gif, 'gif')}]}


def find(workdir, experiment, frame, summaries, task=None):
    """Finds the film of an experiment, and makes it where there is none yet of the same runs.

    Beside film.gif in the folder of the report stands film.png, a few moments of it, and film.json, which is written
    last and says of which runs they are.

    Args:
      workdir: the experiment's folder.
      experiment: dict, what its config.json holds.
      frame: DataFrame of `results.load_results`.
      summaries: dict from rewinding step to DataFrame of `results.summarise`.
      task: the experiment's Task; None to find it as its config says, where the film has to be made.

    Returns:
      Shown, of no film where the task has none, or where there are no two networks yet to be seen side by side.
    """
    protocol = restore(experiment, task=task)
    those = cast(frame, summaries) if protocol.facts.films else []
    if not those:
        return Shown()
    folder, of = storage.join(workdir, 'report'), [[run['run'], str(run.get('digest'))] for run in those]
    kept = _kept(folder)
    if kept is None or kept['of'] != of:
        try:
            kept = {'of': of, **_make(folder, workdir, protocol.task, those)}
        except UsageError as error:
            return Shown(obstacle=f'There is no film of what the networks do: {error}')
        storage.write_json(storage.join(folder, 'film.json'), kept)
    return Shown(storage.read_bytes(storage.join(folder, 'film.gif')), kept['alternative'], kept['caption'])


def cast(frame, summaries):
    """Chooses who is shown: the dense network, the smallest winning ticket and a random ticket of its density.

    Where that level has no random ticket, or none wins, it is the last level that has both. All are of one replicate
    and of the rewinding step that does best.

    Args:
      frame, summaries: as of `find`.

    Returns:
      list of dicts, the rows of `frame`; without a random ticket where no level has one, and empty without a ticket.
    """
    step, _ = results.level_to_ship(summaries)
    rows = results.by_rewinding_step(frame)[step]
    rows = rows[~rows['diverged'] & (rows['copy'] == 0)]
    there = {branch: {(run['level'], run['replicate']): run for run in those.to_dict('records')}
             for branch, those in rows.groupby('branch')}
    tickets = there.get('ticket', {})
    random = next((there[branch] for branch in _RANDOM if branch in there), tickets)
    places = [(level, replicate) for level, replicate in tickets.keys() & random.keys()
              if level and (0, replicate) in tickets]
    if not places:
        return []
    levels = {level for level, _ in places}
    winner = results.smallest_winning_ticket(summaries[step])
    level = winner['level'] if winner is not None and winner['level'] in levels else max(levels)
    replicate = min(replicate for at, replicate in places if at == level)
    return [tickets[0, replicate], tickets[level, replicate]] + (
        [random[level, replicate]] if random is not tickets else [])


def _kept(folder):
    """What film.json says of a film that is all there; else None."""
    paths = [storage.join(folder, f'film.{ending}') for ending in ('gif', 'png', 'json')]
    return storage.read_json(paths[-1]) if all(storage.all_at_once(storage.exists, paths)) else None


def _make(folder, workdir, task, those):
    """Films the networks of some runs, and returns what is said of it."""
    with keras2.quiet_start():
        film = task.film(_networks(workdir, task, those))
    if len(film.clips) != len(those):
        raise UsageError(f'the task made {len(film.clips)} clips of {len(those)} networks: let it make one of each.')
    # It would be of others than the files beside it, if these were not all written.
    storage.remove(storage.join(folder, 'film.json'))
    titles = [(BRANCHES[run['branch']].title if run['level'] else 'Dense network',
               f'{results.percent(run["density"])} % of the weights') for run in those]
    storage.write_bytes(storage.join(folder, 'film.png'), drawn.still(film, titles))
    storage.write_bytes(storage.join(folder, 'film.gif'), drawn.moving(film, titles))
    came = [f'{title}, {density}{f": {clip.outcome}" if clip.outcome else ""}.'
            for (title, density), clip in zip(titles, film.clips, strict=True)]
    return {'alternative': ' '.join([film.about, *came]), 'caption': film.about}


def _networks(workdir, task, those):
    """Yields the networks of some runs with the weights that they were trained to."""
    from tf_lottery.pruning import wrapper

    for run in those:
        folder = storage.join(workdir, run['run'])
        try:
            weights = runs.read_weights(folder, runs.read_mask(folder))
        except MissingFileError as error:
            # Weights may have been deleted to save room.
            raise UsageError(str(error)) from error
        network = task.network(0)
        wrapper.set_weights(network, weights)
        yield network
