"""The report of targets and sources, on hand-made experiments."""

import re

import pandas as pd
import pytest
from fake_runs import LANGUAGE, save_experiment, save_run

from tf_lottery import command
from tf_lottery.errors import UsageError
from tf_lottery.reporting import comparison, report, transfer
from tf_lottery.reporting.pictures import transfer as pictures
from tf_lottery.runtime import storage

SOURCE = {'path': 'runs/other', 'about': 'lenet_300_100 on other', 'shapes': {'fc1/kernel': [784, 300]}, 'step': 0,
          'level': None, 'files': {}}


def save(folder, name, origin, finals, measures=None):
    """A target: `finals` has, by branch, what each level came to; 'x' stands for its source in a branch's name."""
    workdir = f'{folder}/{name}'
    save_experiment(workdir, name, 2, ('ticket', 'transferred'), command=f'python {name}',
                    sources=(f'runs/{origin}',) if origin else ())
    if origin:
        storage.write_json(f'{workdir}/config.json', {
            **storage.read_json(f'{workdir}/config.json'), 'sources': {origin: SOURCE}})
    for branch, each in finals.items():
        for level, final in enumerate(each, int(branch != 'ticket')):
            save_run(workdir, branch.replace('_x', f'_from_{origin}'), level, final=final, measures=measures)
    return workdir


@pytest.fixture
def folder(tmp_path):
    save(tmp_path, 'a', 'b', {'ticket': (0.9, 0.92, 0.91), 'transferred_x': (0.93, 0.88), 'random_global': (0.8, 0.5)})
    save(tmp_path, 'b', 'a', {'ticket': (0.7, 0.72, 0.71), 'transferred_x': (0.74, 0.73), 'transferred_mask_x': (0.6,)})
    save(tmp_path, 'c', None, {'ticket': (0.7,)})
    return str(tmp_path)


def found(folder, density=None):
    return transfer.find(folder, transfer.targets(comparison.below(folder)), density)


def test_targets_are_the_experiments_that_take_tickets(folder):
    assert [path.rpartition('/')[2] for path in transfer.targets(comparison.below(folder))] == ['a', 'b']


@pytest.mark.parametrize(('density', 'level'), [(None, 2), (0.1, 2), (0.75, 1), (1.0, 1)])
def test_the_level_is_the_one_nearest_to_a_density(folder, density, level):
    assert found(folder, density).level == level


def test_the_table_has_a_column_for_each_target(folder):
    table = transfer.table(found(folder, 0.8))
    assert table.note.startswith('test accuracy (%) at the end of training at 80.0 % of the weights (level 1)')
    assert table.header == ('trained', 'on a', 'on b')
    assert table.rows == [
        ('Dense network', '90.00', '70.00'), ('Winning ticket', '92.00', '72.00'),
        ('Random ticket, global', '80.00', '-'), ('Transferred from a', '-', '74.00'),
        ('Mask from a', '-', '60.00'), ('Transferred from b', '93.00', '-')]


def test_the_map_has_own_tickets_where_a_target_is_a_source(folder):
    what = found(folder)
    rows = what.chosen[what.chosen['branch'] != 'transferred_mask_from_a']
    means, better = pictures._cells(rows, what.measures)
    assert list(means.index) == ['a', 'b']
    assert list(means) == ['of a', 'of b', 'Random ticket, global']
    assert means.fillna(-1).to_numpy().tolist() == [[0.91, 0.88, 0.5], [0.73, 0.71, -1]]
    assert better[:, :2].round(6).tolist() == [[0, -3], [2, 0]]


def test_a_source_that_is_called_as_the_target_has_a_column_of_its_own(tmp_path):
    save(tmp_path, 'a', 'a', {'ticket': (0.9, 0.92), 'transferred_x': (0.93,)})
    what = found(str(tmp_path))
    means, _ = pictures._cells(what.chosen, what.measures)
    assert {name: means[name].tolist() for name in means} == {'its own': [0.92], 'of a': [0.93]}


def test_lower_is_better_where_it_is(tmp_path):
    save(tmp_path, 'a', 'b', {'ticket': (2.0, 1.8), 'transferred_x': (1.9,)}, measures=LANGUAGE)
    what = found(str(tmp_path))
    assert pictures._cells(what.chosen, what.measures)[1].round(6).tolist() == [[0, -0.1]]


def test_the_page_and_its_numbers(folder):
    page = storage.read_text(transfer.write(folder, found(folder)))
    assert ('At 64.0 % of the weights (level 2): on a 88.00 % with tickets of b, 91.00 % with its own; on b 73.00 % '
            'with tickets of a, 71.00 % with its own.') in page
    frame = pd.read_csv(f'{folder}/report/transfer.csv')
    assert list(frame)[:3] == ['target', 'branch', 'level']
    row = frame[(frame['target'] == 'a') & (frame['branch'] == 'transferred_from_b') & (frame['level'] == 2)]
    assert row['final_test_accuracy_mean'].tolist() == [0.88]
    names = {path for path in storage.list_folder(f'{folder}/report') if path.endswith('.png')}
    assert names == {'tickets_of_others.png', 'masks_of_others.png', 'transfer_map.png'}
    assert re.search(r'On a, Transferred from b: 88\.00 % at 64\.0 % of the weights\.', page)


def test_a_panel_has_the_lines_of_its_target(folder):
    what = found(folder)
    first, second = (picture.figure for picture in pictures.draw(what.frame, what.measures, None))
    lines = [{line.get_label(): list(line.get_ydata()) for line in axes.lines} for axes in first.axes]
    assert lines[0]['Transferred from b'] == pytest.approx([93, 88])
    assert lines[0]['Winning ticket'] == pytest.approx([90, 92, 91])
    assert 'Transferred from b' not in lines[1] and lines[1]['Transferred from a'] == pytest.approx([74, 73])
    assert [axes.get_title() for axes in first.axes] == ['On a', 'On b']
    assert any(line.get_label() == 'Mask from a' for line in second.axes[1].lines)
    shown = [line for axes in first.axes for line in axes.lines if line.get_label() != 'Dense network']
    assert len({(line.get_color(), line.get_marker()) for line in shown}) == len({line.get_label() for line in shown})


def test_before_any_ticket_was_taken_there_is_a_table_without_numbers(tmp_path):
    save(tmp_path, 'a', 'b', {'ticket': (0.9,)})
    what = found(str(tmp_path))
    assert what.level is None
    assert transfer.table(what).rows == [('Dense network', '90.00')]
    assert 'No level of all targets has a ticket' in storage.read_text(transfer.write(str(tmp_path), what))


def test_targets_of_different_measures_are_refused(folder, tmp_path):
    save(tmp_path, 'd', 'a', {'ticket': (2.0, 1.8), 'transferred_x': (1.9,)}, measures=LANGUAGE)
    with pytest.raises(UsageError, match='are judged by different measures, so that one report cannot show them'):
        found(folder)


def test_the_report_mode_finds_out_by_itself(folder, capsys):
    command._report_of_any(folder, 0.8)
    printed = capsys.readouterr().out
    assert 'Tickets of other experiments' in printed and f'Report  {folder}/report/index.html' in printed


def test_the_report_of_a_target_has_a_line_for_each_source(folder):
    workdir = f'{folder}/a'
    found = report.find(workdir)
    (summary,) = found.summaries.values()
    assert list(summary['branch'].unique()) == ['ticket', 'random_global', 'transferred_from_b']
    page = storage.read_text(report.write(workdir, found))
    assert 'Transferred from b' in page
