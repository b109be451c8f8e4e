"""Whose film a report shows, and when it is made."""

import io

import numpy as np
import pytest
from fake_runs import save_experiment, save_run
from PIL import Image

from tf_lottery.errors import UsageError
from tf_lottery.experiment import config, runs
from tf_lottery.experiment.runs import Run
from tf_lottery.pruning import wrapper
from tf_lottery.reporting import film, report, results
from tf_lottery.runtime import storage
from tf_lottery.tasks.control import ControlTask
from tf_lottery.tasks.film import Clip, Film
from tf_lottery.tasks.measure import Measure, Measures
from tf_lottery.ticket import Mask, pack

MEASURES = Measures((Measure('reward', 'reward of the last games', higher=True, digits=1,
                             taken_of='the last 100 games of training'),), None)
LEVELS = {'ticket': (0, 1, 2, 3), 'random_global': (1, 2, 3), 'random_sparse': (1, 3)}


def save(workdir, branch, level, replicate=0, final=100.0, **options):
    save_run(str(workdir), branch, level, replicate, step=None, accuracy=final, final=final, measures=MEASURES,
             **options)


def shown(workdir):
    frame = results.load_results(str(workdir))
    return [run['run'] for run in film.cast(frame, results.summaries(frame))]


@pytest.fixture
def workdir(tmp_path):
    """Three levels of which none wins."""
    training = {**config.defaults().training.to_dict(), 'batch_size': 128}
    save_experiment(str(tmp_path), levels=3, branches=tuple(LEVELS), task='control', training=training)
    for branch, levels in LEVELS.items():
        for level in levels:
            save(tmp_path, branch, level, final=100.0 - level)
    return tmp_path


@pytest.mark.parametrize(('winner', 'level'), [(None, 3), (1, 1), (2, 3)])
def test_the_smallest_winning_ticket_is_shown_or_the_last_one_that_has_a_random_one(workdir, winner, level):
    if winner:
        save(workdir, 'ticket', winner, final=120.0)
    assert shown(workdir) == ['replicate_0/level_00/ticket', f'replicate_0/level_0{level}/ticket',
                              f'replicate_0/level_0{level}/random_sparse']


def test_a_random_ticket_of_another_kind_is_shown_where_there_is_no_sparse_one(tmp_path):
    save_experiment(str(tmp_path), levels=1, branches=('ticket', 'random_global'))
    for branch, level in (('ticket', 0), ('ticket', 1), ('random_global', 1)):
        save(tmp_path, branch, level)
    assert shown(tmp_path)[-1] == 'replicate_0/level_01/random_global'


def test_all_are_of_one_replicate(workdir):
    save(workdir, 'ticket', 3, diverged=True)
    for branch, level in (('ticket', 0), ('ticket', 3), ('random_sparse', 3)):
        save(workdir, branch, level, replicate=2)
    assert shown(workdir) == ['replicate_2/level_00/ticket', 'replicate_2/level_03/ticket',
                              'replicate_2/level_03/random_sparse']


def test_a_ticket_may_be_alone_but_nobody_else(tmp_path):
    save_experiment(str(tmp_path), levels=1)
    save(tmp_path, 'ticket', 0)
    assert shown(tmp_path) == []
    save(tmp_path, 'ticket', 1)
    assert shown(tmp_path) == ['replicate_0/level_00/ticket', 'replicate_0/level_01/ticket']


@pytest.fixture
def trained(workdir, monkeypatch):
    """The folder, its runs trained to biases of their levels, and how often a film has been made."""
    task, made = config.restore(runs.read_config(str(workdir))).task, []
    weights = wrapper.variables(task.network(0))
    mask = Mask({name: np.ones(weight.shape, bool) for name, weight in task.facts().weights.items()})
    for branch, level in (('ticket', 0), ('ticket', 3), ('random_sparse', 3)):
        folder = storage.join(str(workdir), Run(0, level, branch).folder)
        values = {name: np.full(weight.shape, level, np.float32) for name, weight in weights.items()}
        storage.write_arrays(storage.join(folder, 'mask.npz'), mask.to_arrays())
        storage.write_arrays(storage.join(folder, 'weights.npz'), pack(values, mask))

    def filmed(self, networks):
        made.append([float(network.weights[0][0, 0]) for network in networks])
        black = np.zeros((3, 4, 4, 3), np.uint8)
        return Film(tuple(Clip(black, f'reward {value:.0f}') for value in made[-1]), 'Black.')

    monkeypatch.setattr(ControlTask, 'film', filmed)
    return str(workdir), made


def test_a_film_is_made_once_and_shown_in_the_page(trained):
    folder, made = trained
    pages = [storage.read_text(report.write(folder, report.find(folder))) for _ in range(2)]
    assert made == [[0, 3, 3]]
    assert pages[0] == pages[1] and 'src="data:image/gif;base64,R0lGOD' in pages[0]
    assert ('alt="Black. Dense network, 100 % of the weights: reward 0. Winning ticket, 51.2 % of the weights: reward '
            '3. Random sparse, 51.2 % of the weights: reward 3."') in pages[0]
    for name in ('film.gif', 'film.png', 'film.json'):
        storage.remove(storage.join(folder, 'report', name))
        report.find(folder)
    assert made == 4 * [[0, 3, 3]]
    with Image.open(io.BytesIO(storage.read_bytes(storage.join(folder, 'report', 'film.gif')))) as moving:
        assert moving.n_frames == 3


def test_a_film_of_other_runs_is_made_anew(trained):
    folder, made = trained
    report.find(folder)
    save(folder, 'ticket', 1, final=200.0)
    # Its weights are not there.
    obstacle = report.find(folder).film.obstacle
    assert obstacle.startswith('There is no film of what the networks do: ') and 'level_01/ticket' in obstacle
    assert made == [[0, 3, 3]]


def test_what_cannot_be_drawn_is_a_note_and_no_more(trained, monkeypatch):
    def filmed(self, networks):
        raise UsageError('No screen.')

    folder, _ = trained
    monkeypatch.setattr(ControlTask, 'film', filmed)
    page = storage.read_text(report.write(folder, report.find(folder)))
    assert '<p class="note">There is no film of what the networks do: No screen.</p>' in page
    assert 'image/gif' not in page and 'film.gif' not in storage.list_folder(storage.join(folder, 'report'))


def test_the_words_are_those_of_a_reward_of_training(workdir):
    page = storage.read_text(report.write(str(workdir), report.find(str(workdir))))
    assert 'Reward of the last games is taken of the last 100 games of training.' in page
    assert 'Reward of the last games at the end of training against the weights remaining.' in page
    assert 'test reward' not in page.lower()
    assert 'Reward of the last games at the end: mean' in results.table(report.find(str(workdir)).summaries[0])
