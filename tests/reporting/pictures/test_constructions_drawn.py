"""What a report says of pruned random networks, on hand-made numbers."""

import io
import math

import pandas as pd
import pytest
from fake_runs import CLASSIFICATION, REGRESSION, save_experiment, save_run
from figures import labels

from tf_lottery.experiment.runs import Run
from tf_lottery.pruning.subset_sum import bound_of_best_product, typical_of_best_subset
from tf_lottery.reporting import report, tables
from tf_lottery.reporting.analysis import stability
from tf_lottery.reporting.analysis.construction import table
from tf_lottery.reporting.pictures import construction
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import ACCURACY

WIDTHS = {'malach': (2, 8, 64), 'pensia': (2, 8)}


def row(width, way, target, factor, test):
    error = factor / width if way == 'malach' else factor / 2**width
    judged = {'test': test, 'target_test': 0.98} if target == 'network' and test is not None else {}
    return {'width': width, 'way': way, 'examples': 500, 'target': target, 'weights': 1000, 'hidden': 20 * width,
            'size': 400 * width, 'kept': 100, 'max_weight_error': error, 'median_weight_error': error / 10,
            'max_output_error': 5 * error, 'mean_output_error': error, 'max_output': 10.0, **judged}


def save(workdir, measures=CLASSIFICATION, test=0.9):
    """Two replicates, of which the second one has errors three times as large."""
    save_experiment(str(workdir), levels=0, replicates=2)
    for replicate, factor in enumerate((0.1, 0.3)):
        save_run(str(workdir), replicate=replicate, measures=measures)
        storage.write_json(storage.join(str(workdir), Run(replicate, 0, 'ticket').folder, 'construction.json'), [
            row(width, way, target, factor, test) for way, widths in WIDTHS.items() for width in widths
            for target in ('neuron', 'layer', 'network')])
    return report.find(str(workdir))


def test_constructions_are_read_of_every_replicate(tmp_path):
    found = save(tmp_path).built
    assert len(found) == 2 * 5 * 3
    assert list(found['replicate'].unique()) == [0, 1]
    network = found[found['target'] == 'network']
    assert set(network['test']) == {0.9} and set(network['target_test']) == {0.98}
    assert found[found['target'] != 'network']['test'].isna().all()


def test_there_are_none_where_none_were_wished_for(tmp_path):
    save_experiment(str(tmp_path), levels=0)
    save_run(str(tmp_path))
    found = report.find(str(tmp_path))
    assert found.built.empty
    assert list(construction.draw(found.built, ACCURACY)) == []
    assert tables.tables(found.frame, found.samples, found.lines, found.built) == []


def test_the_table_has_means_over_replicates(tmp_path):
    found = save(tmp_path)
    means = table(found.built)
    assert list(means['width']) == [2] * 6 + [8] * 6 + [64] * 3
    assert list(means['way'])[:6] == ['malach'] * 3 + ['pensia'] * 3
    assert means['max_weight_error'][0] == pytest.approx(0.2 / 2)
    assert means['density'][0] == pytest.approx(100 / 800)
    (printed,) = tables.tables(found.frame, found.samples, found.lines, found.built)
    assert printed.header == (
        'n', 'kept', 'in the place of', 'weights left (%)', 'error of weights, median', 'largest',
        'error of outputs, mean', 'largest', 'test accuracy (%)')
    assert printed.rows[0] == (
        '2', 'best product', 'first unit', '12.5', '1.0e-02', '1.0e-01', '1.0e-02', '5.0e-02', '-')
    assert printed.rows[11] == (
        '8', 'best subset', 'network', '3.1', '7.8e-05', '7.8e-04', '7.8e-05', '3.9e-04', '90.00')
    assert 'on 500 test examples; means over replicates. The trained network: 98.00 % test accuracy.' in printed.note


def drawn(found, measure=ACCURACY):
    pictures = {picture.name: picture for picture in construction.draw(found.built, measure)}
    for picture in pictures.values():
        picture.figure.savefig(io.BytesIO(), format='png')
    return pictures


def points(axes):
    return {line.get_label(): dict(map(tuple, line.get_xydata())) for line in axes.lines}


def test_errors_of_weights_stand_beside_the_bound(tmp_path):
    picture = drawn(save(tmp_path))['construction_weights']
    axes, = picture.figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ('log', 'log')
    shown = points(axes)
    assert list(shown) == labels(picture.figure) == [
        'best product: largest', 'best product: median', 'best subset: largest', 'best subset: median',
        'best product: bound of the largest', 'best subset: counted median']
    assert shown['best product: largest'] == pytest.approx({2: 0.1, 8: 0.025, 64: 0.2 / 64})
    assert shown['best subset: median'] == pytest.approx({2: 0.005, 8: 0.02 / 256})
    assert shown['best product: bound of the largest'] == {
        width: bound_of_best_product(width, 1000) for width in (2, 8, 64)}
    assert shown['best subset: counted median'] == {width: typical_of_best_subset(width) for width in (2, 8)}
    assert 'The best of n products (Malach et al.), largest error: 1.0e-01 at 2, 3.1e-03 at 64.' in picture.alternative
    assert 'Each of 1,000 weights' in picture.caption


def test_errors_of_outputs_are_shares_in_a_panel_for_each_part(tmp_path):
    picture = drawn(save(tmp_path))['construction_outputs']
    assert [axes.get_title() for axes in picture.figure.axes] == ['The first unit', 'The first layer', 'The network']
    for axes in picture.figure.axes:
        shown = points(axes)
        assert shown['best product: largest'] == pytest.approx({2: 0.05, 8: 0.0125, 64: 0.1 / 64})
        assert shown['best subset: mean'] == pytest.approx({2: 0.005, 8: 0.02 / 256})
    assert labels(picture.figure) == [
        'best product: largest', 'best product: mean', 'best subset: largest', 'best subset: mean']
    assert ('The best subset of n products (Pensia et al.), the network: 2.5e-02 at 2, 3.9e-04 at 8.'
            in picture.alternative)


def test_the_leading_measure_stands_beside_the_trained_networks(tmp_path):
    picture = drawn(save(tmp_path))['construction_accuracy']
    shown = points(picture.figure.axes[0])
    assert shown['best product'] == pytest.approx({2: 90, 8: 90, 64: 90})
    assert list(shown['the trained network'].values()) == pytest.approx([98, 98])
    assert picture.alternative.startswith(
        'Test accuracy against the products for each weight; 98.00 for the trained network. The best of n products '
        '(Malach et al.): 90.00 at 2, 90.00 at 8, 90.00 at 64.')


def test_a_task_with_another_measure_or_none_that_outputs_tell(tmp_path):
    (measure,) = REGRESSION.each
    names = list(drawn(save(tmp_path / 'mae', REGRESSION, 0.004), measure))
    assert names == ['construction_weights', 'construction_outputs', 'construction_mae']
    found = save(tmp_path / 'untold', REGRESSION, None)
    assert list(drawn(found, measure)) == ['construction_weights', 'construction_outputs']
    (printed,) = tables.tables(found.frame, found.samples, found.lines, found.built)
    assert {cells[-1] for cells in printed.rows} == {'-'}
    assert printed.note.endswith('means over replicates.')
    assert math.isnan(table(found.built)['test'][0])


def test_one_width_alone_can_be_drawn(tmp_path):
    found = save(tmp_path)
    few = found.built[found.built['width'] == 64]
    assert isinstance(few, pd.DataFrame)
    for picture in construction.draw(few, ACCURACY):
        picture.figure.savefig(io.BytesIO(), format='png')


def test_the_report_has_all_of_it(tmp_path):
    found = save(tmp_path)
    assert stability.samples(str(tmp_path), found.frame).empty
    report.write(str(tmp_path), found)
    assert len(pd.read_csv(tmp_path / 'report' / 'construction.csv')) == 30
    page = (tmp_path / 'report' / 'index.html').read_text()
    assert page.count('A random network, pruned') == 3
    assert 'Pictures against density appear' not in page
