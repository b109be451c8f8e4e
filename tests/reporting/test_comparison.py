"""Tests of tf_lottery/reporting/comparison.py on hand-made experiments."""

import re

import pandas as pd
import pytest
from fake_runs import LANGUAGE, REGRESSION, save_experiment, save_run

from tf_lottery.errors import StorageError, UsageError
from tf_lottery.experiment import config, runs
from tf_lottery.reporting import comparison
from tf_lottery.runtime import storage

PRUNING = config.defaults().pruning.to_dict()


def save(folder, name, finals, criterion='magnitude', densities=(0.8, 0.64), measures=None, **pruning):
    """An experiment of two replicates: what its dense network and its tickets come to, 0.01 more in the second one."""
    workdir = f'{folder}/{name}'
    save_experiment(workdir, name, pruning={**PRUNING, 'criterion': criterion, **pruning}, command=f'python {name}')
    for replicate in range(2):
        for level, (final, density) in enumerate(zip(finals, (1.0, *densities), strict=True)):
            save_run(workdir, level=level, replicate=replicate, final=final + 0.01 * replicate, density=density,
                     measures=measures)


@pytest.fixture
def criteria(tmp_path):
    """Three criteria, of which one prunes to nearly the densities of the others, and in another way."""
    save(tmp_path, 'first', (0.9, 0.92, 0.8))
    save(tmp_path, 'second', (0.9, 0.94, 0.7), 'obd', examples=500)
    save(tmp_path, 'third', (0.9, 0.91, 0.85), 'han', (0.79, 0.63), scope='global')
    return str(tmp_path)


def test_names_are_what_tells_experiments_apart(criteria):
    found = comparison.find(criteria)
    assert (found.keys, found.others) == (['pruning.criterion'], ['pruning.scope', 'pruning.examples'])
    assert found.title == 'Criteria at the same density'
    assert dict(zip(found.frame['experiment'], found.frame['name'], strict=True)) == {
        'second': 'obd', 'first': 'magnitude', 'third': 'han'}


def test_as_many_keys_name_an_experiment_as_are_needed(tmp_path):
    for number, (criterion, scope) in enumerate(
            (('magnitude', 'layerwise'), ('magnitude', 'global'), ('obd', 'layerwise'))):
        save(tmp_path, str(number), (0.9, 0.8, 0.7), criterion, scope=scope)
    found = comparison.find(str(tmp_path))
    assert sorted(found.keys) == ['pruning.criterion', 'pruning.scope'] and found.others == []
    assert found.title == 'Experiments at the same density'
    assert set(found.frame['name']) == {
        'scope=layerwise, criterion=magnitude', 'scope=global, criterion=magnitude', 'scope=layerwise, criterion=obd'}


def test_experiments_of_one_config_are_named_by_their_folders(tmp_path):
    for name in ('one', 'two'):
        save(tmp_path, name, (0.9, 0.8, 0.7))
    assert set(comparison.find(str(tmp_path)).frame['name']) == {'one', 'two'}


def test_the_best_is_on_top_at_densities_that_are_nearly_the_same(criteria):
    found = comparison.find(f'{criteria}/')
    made = comparison.table(found)
    assert made.header == ('', '79.0 to 80.0 %', '63.0 to 64.0 %')
    assert made.rows == [('han', '91.50 [91.00, 92.00]', '85.50 [85.00, 86.00]'),
                         ('magnitude', '92.50 [92.00, 93.00]', '80.50 [80.00, 81.00]'),
                         ('obd', '94.50 [94.00, 95.00]', '70.50 [70.00, 71.00]')]
    assert 'The dense networks come to 90.50 % on average.' in made.note


def test_the_page_holds_picture_table_commands_and_what_else_differs(criteria):
    path = comparison.write(criteria, comparison.find(criteria))
    assert path == f'{criteria}/report/index.html'
    assert storage.list_folder(f'{criteria}/report') == ['comparison.csv', 'experiments_at_density.png', 'index.html']
    page = re.sub(r'base64,[^"]*', '', storage.read_text(path))
    for text in ('At 79.0 to 80.0 % of the weights obd does best, with 94.50 %; at 63.0 to 64.0 % of the weights han '
                 'does best, with 85.50 %.', 'differ in more than their names say: pruning.scope, pruning.examples.',
                 '<h3>second</h3>\n<pre>python second</pre>', '<td>92.50 [92.00, 93.00]</td>',
                 'At 63.0 to 64.0 % of the weights: han 85.5 %, magnitude 80.5 %, obd 70.5 %.'):
        assert text in page
    rows = pd.read_csv(f'{criteria}/report/comparison.csv')
    assert len(rows) == 9 and list(rows)[:3] == ['name', 'experiment', 'branch']
    own = rows[(rows['name'] == 'obd') & (rows['level'] == 1)].iloc[0]
    assert (own['experiment'], own['n'], own['rewind_step']) == ('second', 2, 0)
    assert own['final_test_accuracy_mean'] == pytest.approx(0.945)


def test_a_density_that_few_experiments_have_is_left_out_and_a_control_has_a_row_of_its_own(criteria):
    save(criteria, 'fourth', (0.9, 0.8), 'movement', (0.8,))
    save_run(f'{criteria}/fourth', 'random_mask', 1, final=0.6)
    made = comparison.table(comparison.find(criteria))
    assert made.header == ('', '79.0 to 80.0 %')
    assert [row[0] for row in made.rows] == ['obd', 'magnitude', 'han', 'movement', 'movement, Random mask']
    # Where it has not been trained there is nothing.
    save_run(f'{criteria}/fourth', level=2, final=0.5, density=0.64)
    made = comparison.table(comparison.find(criteria))
    assert made.rows[-1] == ('movement, Random mask', '60.00', '-')


def test_rewinding_steps_are_rows_of_their_own(criteria):
    for step in (0, 50):
        save_run(f'{criteria}/first', level=1, rewind=step, final=0.5, density=0.8)
    names = set(comparison.find(criteria).frame['name'])
    assert {'magnitude, rewound to 50', 'magnitude, rewound to 0', 'obd, rewound to 0'} <= names


def test_lower_is_better_where_it_is(tmp_path):
    save(tmp_path, 'one', (2.0, 1.9, 1.8), measures=LANGUAGE)
    save(tmp_path, 'two', (2.0, 1.7, 1.95), 'obd', measures=LANGUAGE)
    made = comparison.table(comparison.find(str(tmp_path)))
    assert [row[0] for row in made.rows] == ['magnitude', 'obd']
    page = storage.read_text(comparison.write(str(tmp_path), comparison.find(str(tmp_path))))
    assert 'At 80.0 % of the weights obd does best, with 1.71; at 64.0 % of the weights magnitude does best' in page


def test_an_experiment_that_has_not_begun_is_named(criteria):
    save_experiment(f'{criteria}/fourth', 'fourth')
    found = comparison.find(criteria)
    assert found.unfinished == ['fourth']
    page = storage.read_text(comparison.write(criteria, found))
    assert 'Left out, for no run of theirs has finished: fourth.' in page


@pytest.mark.parametrize('case', ['measures', 'densities', 'one', 'unfinished'])
def test_what_cannot_be_compared_is_told(tmp_path, case):
    save(tmp_path, 'one', (0.9, 0.8, 0.7), measures=LANGUAGE)
    sentence = 'holds one experiment only, .*/one: give that as --workdir, or a folder of several'
    if case == 'measures':
        save(tmp_path, 'two', (0.9, 0.8, 0.7), 'obd', measures=REGRESSION)
        sentence = '/one and .*/two are judged by different measures, so that they cannot be compared: give a folder'
    if case == 'densities':
        save(tmp_path, 'two', (0.9, 0.8, 0.7), 'obd', (0.5, 0.25), measures=LANGUAGE)
        sentence = 'have no density in common, at which they could be compared: give them the same pruning.fraction'
    if case == 'unfinished':
        save_experiment(f'{tmp_path}/two', 'two')
        sentence = 'has finished runs of fewer than two experiments: train another one first'
    with pytest.raises(UsageError, match=sentence):
        comparison.find(str(tmp_path))


def test_of_levels_at_nearly_one_density_the_first_counts(criteria):
    save(criteria, 'slow', (0.9, 0.6, 0.5), 'movement', (0.8, 0.79))
    found = comparison.find(criteria)
    own = found.shown[found.shown['name'] == 'movement']
    assert list(own['level']) == [1]
    assert ('movement', '60.50 [60.00, 61.00]') in comparison.table(found).rows


def test_what_cannot_be_read_beside_the_experiments_is_none(criteria, monkeypatch):
    there = runs.is_claimed

    def claimed(folder):
        if folder.endswith('/locked'):
            raise StorageError(f'cannot look for {folder}/config.json: you may not read it.')
        return there(folder)

    storage.write_text(f'{criteria}/locked/config.json', '')
    monkeypatch.setattr(runs, 'is_claimed', claimed)
    assert comparison.below(criteria) == [f'{criteria}/{name}' for name in ('first', 'second', 'third')]
    assert comparison.below(f'{criteria}/none') == comparison.below(f'{criteria}/first/config.json') == []


def test_experiments_on_another_file_system_are_found(files):
    save('gs://bucket/runs', 'one', (0.9, 0.8, 0.7))
    save('gs://bucket/runs', 'two', (0.9, 0.8, 0.6), 'obd')
    assert comparison.below('gs://bucket/runs') == ['gs://bucket/runs/one', 'gs://bucket/runs/two']
    assert comparison.write('gs://bucket/runs', comparison.find('gs://bucket/runs')) == (
        'gs://bucket/runs/report/index.html')
