"""Pictures of sweeps, stability, connectivity and retraining on hand-made numbers."""

import io

import pandas as pd
import pytest
from fake_runs import REWARD, save_experiment, save_run

from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import report, results
from tf_lottery.reporting.analysis import retraining
from tf_lottery.reporting.pictures import connectivity, stability, sweep
from tf_lottery.reporting.pictures import retraining as methods
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import ACCURACY, CLASSIFICATION


@pytest.fixture
def samples():
    """Two pairs of every kind at one level of two rewinding steps; the distance is 1 and 3 for tickets at step 0."""
    return pd.DataFrame([
        {'branch': branch, 'level': 1, 'density': 0.8, 'rewind_step': step, 'replicate': 0, 'stability': kind,
         'l2': l2 * factor / (1 + step), 'angle': 10.0 * l2}
        for branch, factor in (('ticket', 1), ('random_mask', 4)) for step in (0, 9)
        for kind in ('data order', 'pruning') for l2 in (1.0, 3.0)])


@pytest.fixture
def swept(tmp_path):
    save_experiment(str(tmp_path), levels=1, branches=('ticket', 'random_mask'))
    save_run(str(tmp_path), final=0.9)
    for step, final in ((0, 0.85), (9, 0.91)):
        save_run(str(tmp_path), level=1, accuracy=final, final=final, rewind=step)
        save_run(str(tmp_path), 'random_mask', 1, final=0.8, rewind=step)
    return tmp_path


def test_accuracy_and_both_stabilities_against_the_rewinding_step(swept, samples):
    drawn = list(sweep.draw(results.summaries(results.load_results(swept)), samples))
    assert [picture.name for picture in drawn] == ['rewinding_l2', 'rewinding_angle']
    axes = drawn[0].figure.axes
    assert [panel.get_title() for panel in axes] == [
        'Test accuracy at the end', 'Stability to data order', 'Stability to pruning']
    assert list(axes[0].containers[0].lines[0].get_ydata()) == pytest.approx([85, 91])
    assert list(axes[1].containers[0].lines[0].get_ydata()) == pytest.approx([2, 0.2])
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ['0', '9']
    assert 'Winning ticket, 80.0 % of the weights, rewound to step 9: 91.0 %.' in drawn[0].alternative
    for picture in drawn:
        picture.figure.savefig(io.BytesIO(), format='png')


def test_a_sweep_without_stability_shows_accuracy_once(swept, samples):
    (picture,) = sweep.draw(results.summaries(results.load_results(swept)), samples.iloc[:0])
    assert picture.name == 'rewinding_accuracy'
    assert len(picture.figure.axes) == 1
    assert 'stab' not in picture.caption + picture.alternative


def test_stability_against_density(samples):
    drawn = list(stability.draw(samples[samples['rewind_step'] == 0]))
    assert [picture.name for picture in drawn] == ['stability_l2', 'stability_angle']
    ticket = drawn[0].figure.axes[0].containers[0]
    assert list(ticket.lines[0].get_ydata()) == [2.0]
    assert 'Stability to pruning, Random mask, 80.0 % of the weights, rewound to step 0: 8.0.' in drawn[0].alternative


def line(rewind_step, level, test_error):
    return pd.DataFrame({'branch': 'ticket', 'level': level, 'density': 0.8**level, 'rewind_step': rewind_step,
                         'replicate': 0, 'copy': 0, 'examples': 1000, 'position': [0, 0.5, 1], 'train_error': 0.0,
                         'test_error': test_error})


def test_errors_on_the_line_by_level_and_in_a_sweep_by_step():
    (picture,) = connectivity.draw(
        pd.concat([line(0, 0, [0.1, 0.4, 0.1]), line(0, 1, [0.1, 0.2, 0.1])]), ACCURACY)
    assert list(picture.figure.axes[0].lines[0].get_ydata()) == pytest.approx([10, 40, 10])
    assert '80.0 %: 10.0 % at the ends, at most 20.0 % between them.' in picture.alternative
    lines = pd.concat([line(0, 1, [0.1, 0.4, 0.1]), line(9, 1, [0.1, 0.11, 0.1])])
    (picture,) = connectivity.draw(lines, ACCURACY)
    assert [text.get_text() for text in picture.figure.legends[0].get_texts()] == ['step 0', 'step 9']
    (picture,) = connectivity.draw_sweep(lines, ACCURACY)
    assert 'Winning ticket, step 0: 30.0. Winning ticket, step 9: 1.0.' in picture.alternative
    assert list(connectivity.draw_sweep(lines.iloc[:0], ACCURACY)) == []


def test_errors_below_zero_are_in_the_picture_and_no_verdict_is_where_there_is_none():
    lines = pd.concat([line(0, 1, [-200.0, -190.0, -200.0]), line(9, 1, [-200.0, -199.0, -200.0])])
    (picture,) = connectivity.draw(lines.assign(train_error=-210.0), REWARD)
    assert picture.figure.axes[0].get_ylim()[1] < 0
    assert picture.figure.axes[0].get_title() == 'Winning ticket: negative reward on\nthe line'
    assert 'stable' not in picture.caption
    (picture,) = connectivity.draw_sweep(lines, REWARD)
    assert [text.get_text() for text in picture.figure.legends[0].get_texts()] == ['Winning ticket']
    assert picture.alternative == ('Instability against the rewinding step, in test negative reward. '
                                   'Winning ticket, step 0: 10. Winning ticket, step 9: 1.')


def test_retraining_beside_the_published_medians():
    best = pd.DataFrame({'branch': ['ticket', 'fine_tuning'], 'level': 1, 'density': 0.8, 'rewind_step': 0,
                         'steps': 100, 'n': 3, 'median': [0.9, 0.8], 'low': [0.89, 0.79], 'high': [0.92, 0.81]})
    published = retraining.published({'model': {'name': 'resnet20'}, 'data': {'name': 'cifar10'}}, CLASSIFICATION)
    (picture,) = methods.draw(best, ACCURACY, published)
    drawn = {bars.get_label(): bars.lines[0].get_ydata() for bars in picture.figure.axes[0].containers}
    assert list(drawn['Weight rewinding']) == [90]
    assert len(drawn['Weight rewinding, published']) == 10
    assert list(methods.draw(best.iloc[:1], ACCURACY, None)) == []


def test_a_report_of_a_sweep_has_its_pictures_and_tables(swept):
    folder = str(swept)
    page = report.write(folder, report.find(folder))
    text = storage.read_text(page)
    assert 'Of the rewinding steps 0, 9, step 9 does best.' in text
    assert 'Winning ticket, rewound to step 9' in text
    # What is drawn of one rewinding step is of the one that does best.
    assert [name.removesuffix('.png') for name in storage.list_folder(storage.join(folder, 'report'))
            if name.endswith('.png')] == ['accuracy_at_early_stop', 'accuracy_at_end', 'density_per_layer',
                                          'early_stop_step', 'learning_curves', 'rewinding_accuracy']
    assert 'Rewound to step 9. At the last step' in text
    assert 'Winning ticket: 90.00 at 100 % of the weights, 91.00 at 80.0 %.' in text


def test_weights_that_are_there_make_a_table_of_stability(swept):
    import numpy as np

    from tf_lottery.ticket import Mask, pack

    mask = Mask({'dense/kernel': np.array([True, False])})
    for run in (Run(0, 0, 'ticket'), Run(0, 1, 'ticket', rewind=9), Run(0, 1, 'random_mask', rewind=9)):
        folder = storage.join(str(swept), run.folder)
        storage.write_arrays(storage.join(folder, 'mask.npz'), mask.to_arrays())
        weights = {'dense/kernel': np.array([run.level, 0.0])}
        storage.write_arrays(storage.join(folder, 'weights.npz'), pack(weights, mask))
    report.write(str(swept), report.find(str(swept)))
    table = pd.read_csv(swept / 'report' / 'stability.csv')
    assert list(table['pruning_ticket_l2_mean']) == [1.0]
