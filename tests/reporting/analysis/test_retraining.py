"""The best retraining length of hand-made runs, and the published medians."""

import pytest
from fake_runs import LANGUAGE, save_experiment, save_run

from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import results
from tf_lottery.reporting.analysis import retraining
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import CLASSIFICATION, LOSS, Measures


def test_the_length_of_lowest_median_is_chosen_where_lower_is_better(tmp_path):
    save_experiment(str(tmp_path), branches=('ticket', 'fine_tuning'))
    for rewind, validation in ((0, 40.0), (100, 38.0), (200, 39.0)):
        save_run(str(tmp_path), 'ticket', 1, final=50.0, rewind=rewind, measures=LANGUAGE)
        path = storage.join(str(tmp_path), Run(0, 1, 'ticket', rewind=rewind).folder, 'result.json')
        storage.write_json(path, {**storage.read_json(path), 'final_validation_perplexity': validation})
    assert retraining.best(results.load_results(tmp_path))['rewind_step'].tolist() == [100]


def config(model, data='cifar10'):
    return {'model': {'name': model}, 'data': {'name': data}}


def test_the_length_of_best_median_validation_accuracy_is_chosen(tmp_path):
    save_experiment(str(tmp_path), branches=('ticket', 'fine_tuning'), replicates=3)
    save_run(str(tmp_path), final=0.9)
    for rewind, validations, tests in ((0, (0.7, 0.8, 0.9), (0.5, 0.6, 0.7)), (100, (0.1, 0.75, 1.0), (0.9, 0.9, 0.9))):
        for replicate, (validation, test) in enumerate(zip(validations, tests, strict=True)):
            save_run(str(tmp_path), 'ticket', 1, replicate, final=test, rewind=rewind)
            path = storage.join(str(tmp_path), Run(replicate, 1, 'ticket', rewind=rewind).folder, 'result.json')
            storage.write_json(path, {**storage.read_json(path), 'final_validation_accuracy': validation,
                                      'start_step': rewind})
    (row,) = retraining.best(results.load_results(tmp_path)).to_dict('records')
    assert (row['branch'], row['level'], row['rewind_step'], row['steps'], row['n']) == ('ticket', 1, 0, 300, 3)
    assert (row['low'], row['median'], row['high']) == (0.5, 0.6, 0.7)


@pytest.mark.parametrize(('branch', 'density', 'median'), [
    ('fine_tuning', 0.8, 0.9196), ('ticket', 0.8, 0.9176), ('lr_rewinding', 0.8, 0.9225), ('ticket', 0.1074, 0.9091),
    ('lr_rewinding', 0.1074, 0.9076), ('fine_tuning', 0.1074, 0.8978)])
def test_published_medians_of_resnet20(branch, density, median):
    """2003.02389: 91.96 / 91.76 / 92.25 % at 80 % of the weights, 89.78 / 90.91 / 90.76 % at 10.7 %."""
    medians = retraining.published(config('resnet20'), CLASSIFICATION).set_index(['branch', 'density'])['median']
    assert medians[branch, density] == pytest.approx(median, abs=5.1e-5)


@pytest.mark.parametrize(('experiment', 'measures'), [
    (config('lenet_300_100'), CLASSIFICATION), (config('resnet20', 'cifar100'), CLASSIFICATION),
    (config('resnet20'), Measures((LOSS,)))])
def test_no_medians_were_published_for_anything_else(experiment, measures):
    assert retraining.published(experiment, measures) is None
