"""Tests of tf_lottery/reporting/report.py on hand-made runs."""

import base64
import html.parser
import io
import math
import re

import matplotlib
import pandas as pd
import pytest
from fake_runs import (
    CONTROL,
    LANGUAGE,
    REGRESSION,
    TRANSLATION,
    frames,
    save_experiment,
    save_run,
    save_untrained,
)

from tf_lottery.errors import UsageError
from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import report, results
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import CLASSIFICATION

HOSTILE = '<script>alert("1")</script> & \'more\''
PICTURES = ['accuracy_at_early_stop', 'early_stop_step', 'accuracy_at_end', 'branches_at_density', 'learning_curves',
            'density_per_layer']


class Page(html.parser.HTMLParser):
    """What a test wants to know of a page: its tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return ' '.join(' '.join(self.words).split())


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """The folder of a report of three branches, and its page."""
    workdir = str(tmp_path_factory.mktemp('runs') / 'tiny')
    save_experiment(workdir, HOSTILE, levels=2, branches=('ticket', 'random_reinit', 'random_mask'), replicates=2,
                    command=f'python main.py --name={HOSTILE} https://example.com/data')
    for replicate in range(2):
        save_run(workdir, replicate=replicate, step=1000)
        for level in (1, 2):
            for branch in ('ticket', 'random_reinit', 'random_mask'):
                save_run(workdir, branch, level, replicate, step=900, accuracy=0.9 - 0.01 * level)
    path = report.write(workdir, report.find(workdir))
    assert path == f'{workdir}/report/index.html'
    return storage.join(workdir, 'report'), Page(storage.read_text(path))


def test_writes_the_page_the_pictures_and_the_numbers(written):
    folder, _ = written
    assert storage.list_folder(folder) == sorted(
        ['index.html', 'runs.csv', 'summary.csv', *(f'{name}.png' for name in PICTURES)])
    summary = results.summarise(results.load_results(folder.removesuffix('/report')))
    pd.testing.assert_frame_equal(
        pd.read_csv(f'{folder}/summary.csv', float_precision='round_trip'),
        summary.drop(columns=['measures', *results.paired(CLASSIFICATION)]).assign(rewind_step=0))
    runs = pd.read_csv(f'{folder}/runs.csv')
    assert len(runs) == 14
    assert runs['run'][0] == 'replicate_0/level_00/ticket'
    assert runs['density.dense/kernel'][0] == 1.0
    assert not any(name.startswith('config.') for name in runs)


def test_the_page_holds_its_pictures_and_fetches_nothing(written):
    folder, page = written
    sources = [attributes.get('src', '') for tag, attributes in page.tags if tag == 'img']
    assert [base64.b64decode(source.removeprefix('data:image/png;base64,')) for source in sources] == [
        storage.read_bytes(f'{folder}/{name}.png') for name in PICTURES]
    assert all(attributes.get('alt') for tag, attributes in page.tags if tag == 'img')
    for tag, attributes in page.tags:
        assert tag not in ('script', 'link', 'iframe', 'base', 'object')
        assert not {'href', 'srcset', 'data', 'action'} & set(attributes)
        assert attributes.get('src', 'data:').startswith('data:')
    assert 'url(' not in page.text
    assert '@import' not in page.text


def test_pictures_are_png_of_a_width_that_a_phone_can_show(written):
    for name in PICTURES:
        content = storage.read_bytes(f'{written[0]}/{name}.png')
        assert content.startswith(b'\x89PNG')
        assert int.from_bytes(content[16:20], 'big') == round(5.2 * 220)


def test_pictures_stand_below_the_headings_of_their_sections(written):
    order = [attributes.get('alt', tag)[:7] for tag, attributes in written[1].tags if tag in ('h2', 'img')]
    assert order == ['h2', 'Test ac', 'Early-s', 'Test ac', 'Test ac', 'Test ac', 'h2', 'Weights', 'h2', 'h2']
    assert written[1].text.index('How tickets train') < written[1].text.index('What is in the ticket')


def test_what_the_user_wrote_is_shown_as_text(written):
    _, page = written
    assert ('h1', {}) in page.tags
    assert f'python main.py --name={HOSTILE}' in page.text
    assert 'https://example.com/data' in page.text
    assert [tag for tag, _ in page.tags].count('title') == 1


def test_the_page_says_how_it_was_run_and_lists_the_numbers(written):
    _, page = written
    assert 'tensorflow 2.21.0' in page.text
    assert '"fraction": 0.2' in page.text
    assert '2 64.0 2 900 [900-900] 88.00 [88.00-88.00] 80.00 [80.00-80.00]' in page.text
    assert 'diverged' not in page.text


def test_alternative_texts_say_where_the_lines_start_and_end(written):
    alternatives = [attributes['alt'] for tag, attributes in written[1].tags if tag == 'img']
    assert alternatives[0].startswith(
        'Test accuracy at early stop against the weights remaining. '
        'Winning ticket: 90.00 at 100 % of the weights, 88.00 at 64.0 %. Random reinitialisation: 89.00 at 80.0 %')


@pytest.mark.parametrize(('tickets', 'sentence'), [
    ([(4900, 0.982), (4000, 0.9)],
     'The smallest winning ticket keeps 80.0 % of the weights (level 1): its validation loss is lowest at step 4,900, '
     'with 98.20 % test accuracy; that of the dense network at step 7,100, with 97.90 % test accuracy.'),
    ([(4900, 0.978), (8000, 0.99)],
     'No winning ticket was found at levels 1 to 2: the validation loss of none is lowest as early as that of the '
     'dense network, at step 7,100, with 97.90 % test accuracy, and with no less accuracy.'),
    ([], 'Only the dense network has finished: its validation loss is lowest at step 7,100, with 97.90 % test '
     'accuracy.')])
def test_headline(tmp_path, tickets, sentence):
    save_experiment(str(tmp_path), levels=2)
    for level, (step, accuracy) in enumerate([(7100, 0.979), *tickets]):
        save_run(str(tmp_path), level=level, step=step, accuracy=accuracy)
    assert report.headline({0: frames(tmp_path)[1]}) == sentence


def test_headline_of_branches_without_a_ticket(tmp_path):
    save_experiment(str(tmp_path), levels=2)
    save_run(str(tmp_path), step=7100, accuracy=0.979)
    for branch, level, accuracy in (('edge_popup', 1, 0.94), ('edge_popup', 2, 0.92), ('rigl', 1, 0.96)):
        save_run(str(tmp_path), branch, level, step=300, final=accuracy)
    assert report.headline({0: frames(tmp_path)[1]}) == (
        'There is no winning ticket among the branches. Of the dense network: its validation loss is lowest at step '
        "7,100, with 97.90 % test accuracy. At the end of training 'RigL' is best of the others, with 96.00 % test "
        'accuracy at 80.0 % of the weights.')


@pytest.mark.parametrize(('step', 'sentence'), [
    (4900, 'The smallest winning ticket keeps 80.0 % of the weights (level 1): its validation loss is lowest at step '
           '4,900, with 98.20 % test accuracy; that of the dense network of the same replicates (1 of 2) at step '
           '7,100, with 97.90 % test accuracy.'),
    (7200, 'No winning ticket was found at levels 1 to 1: the validation loss of none is lowest as early as that of '
           'the dense network of the same replicate, and with no less accuracy.')])
def test_an_unfinished_level_is_compared_with_the_dense_networks_of_its_own_replicates(tmp_path, step, sentence):
    save_experiment(str(tmp_path), replicates=2)
    save_run(str(tmp_path), step=7100, accuracy=0.979)
    save_run(str(tmp_path), replicate=1, step=9100, accuracy=0.99)
    save_run(str(tmp_path), level=1, step=step, accuracy=0.982)
    found = report.find(str(tmp_path))
    assert report.headline(found.summaries) == sentence
    page = Page(storage.read_text(report.write(str(tmp_path), found)))
    assert ('Not all levels have numbers of the same replicates: means are over those that have, and whether a ticket '
            'wins is asked of each replicate beside its own dense network.') in page.text
    assert page.text.count('the dashed line is the mean of all of these') == 3


def test_with_the_dense_network_alone_it_says_what_is_missing(tmp_path):
    save_experiment(str(tmp_path), levels=5, branches=('ticket', 'random_reinit', 'random_mask'), replicates=3,
                    reinits=2, branch_levels=(2, 4))
    save_run(str(tmp_path))
    page = Page(storage.read_text(report.write(str(tmp_path), report.find(str(tmp_path)))))
    # Two more dense networks and 15 tickets; controls at two levels of three replicates.
    assert ('Runs not there yet: Winning ticket (17), Random reinitialisation (12), Random mask (6).') in page.text
    assert 'Pictures against density appear once a pruned level has finished.' in page.text
    assert [tag for tag, _ in page.tags].count('img') == 1


def test_controls_beyond_the_last_level_are_not_missing(tmp_path):
    save_experiment(str(tmp_path), levels=1, branches=('ticket', 'random_mask'), branch_levels=(1, 9))
    save_run(str(tmp_path))
    page = Page(storage.read_text(report.write(str(tmp_path), report.find(str(tmp_path)))))
    assert 'Runs not there yet: Winning ticket (1), Random mask (1).' in page.text


def test_an_experiment_that_is_complete_gets_no_notes(written):
    assert not any(attributes.get('class') == 'note' for _, attributes in written[1].tags)
    assert 'dashed line' not in written[1].text


def test_one_branch_and_one_replicate_are_enough(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path))
    save_run(str(tmp_path), level=1)
    pictures = list(report.pictures(report.find(str(tmp_path))))
    assert {picture.name for picture in pictures} == set(PICTURES) - {'branches_at_density'}
    for picture in pictures:
        picture.figure.savefig(io.BytesIO(), format='png')
    assert pictures[0].figure.axes[0].get_ylim() == pytest.approx((89.5, 90.5))


def test_diverged_runs_are_named(tmp_path):
    save_experiment(str(tmp_path), levels=3)
    for level in range(4):
        save_run(str(tmp_path), level=level, diverged=level == 2)
    page = Page(storage.read_text(report.write(str(tmp_path), report.find(str(tmp_path)))))
    assert 'Left out of all means, because the loss stopped being finite: Winning ticket (1).' in page.text
    assert '2 64.0 0 1 - - -' in page.text


def test_runs_that_were_not_trained_are_named_with_the_reason(tmp_path):
    save_experiment(str(tmp_path), levels=3, branches=('ticket', 'random_mask'), branch_levels=(3,))
    for level in range(2):
        save_run(str(tmp_path), level=level)
    save_untrained(str(tmp_path), 'emptied', 'replicate_0/level_01/ticket', level=2)
    for branch in ('ticket', 'random_mask'):
        save_untrained(str(tmp_path), 'left out', 'replicate_0/level_02/ticket', branch, 3)
    page = Page(storage.read_text(report.write(str(tmp_path), report.find(str(tmp_path)))))
    assert ('Not trained, because the mask that they start from leaves a layer without weights: Winning ticket (1).'
            ' Not trained, because a run that they are made from ended without weights to go on from: Winning ticket '
            '(1), Random mask (1).') in page.text
    assert 'not there yet' not in page.text


def test_an_experiment_of_diverged_runs_has_a_report(tmp_path):
    save_experiment(str(tmp_path))
    for level in range(2):
        save_run(str(tmp_path), level=level, diverged=True)
    page = Page(storage.read_text(report.write(str(tmp_path), report.find(str(tmp_path)))))
    assert 'The dense network has not finished or has diverged' in page.text
    assert [tag for tag, _ in page.tags].count('img') == 1


def test_leaves_the_settings_of_matplotlib_alone(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path))
    with matplotlib.rc_context({'font.size': 3}):
        report.write(str(tmp_path), report.find(str(tmp_path)))
        assert matplotlib.rcParams['font.size'] == 3


def test_a_folder_that_is_no_experiment_is_refused(tmp_path):
    save_experiment(str(tmp_path / 'tiny'))
    save_run(str(tmp_path / 'tiny'))
    with pytest.raises(UsageError, match=f'{tmp_path} holds no experiment: run one first, or give its folder'):
        report.write(str(tmp_path), report.find(str(tmp_path)))


def save_measured(workdir, measures, values, others=(), rewinds=(None,)):
    """Tickets, random masks and tickets on another data order, with a line, of whose leading measure each ends so."""
    save_experiment(workdir, levels=len(values) - 1, branches=('ticket', 'random_mask', 'ticket_reordered'))
    for level, value in enumerate(values):
        for rewind in rewinds if level else (None,):
            for branch in ('ticket', 'random_mask', 'ticket_reordered')[:3 if level else 1]:
                save_run(workdir, branch, level, step=1000 - level, accuracy=value, final=value, measures=measures,
                         others=others, rewind=rewind)
            if level:
                error = measures.lead.error(value)
                storage.write_json(
                    storage.join(workdir, Run(0, level, 'ticket_reordered', rewind=rewind).folder, 'connectivity.json'),
                    {'examples': 1000, 'position': [0, 0.5, 1], 'train_error': [error] * 3,
                     'test_error': [error, error + 0.4 / measures.lead.scale, error]})


TASKS = {
    'regression': (
        REGRESSION, (0.0123, 0.0119, 0.0125), (),
        'The smallest winning ticket keeps 80.0 % of the weights (level 1): its validation loss is lowest at step 999, '
        'with 11.9 mm test mean absolute error; that of the dense network at step 1,000, with 12.3 mm test mean '
        'absolute error.',
        ['mae_at_early_stop', 'early_stop_step', 'mae_at_end', 'learning_curves'],
        'level weights left (%) runs early-stop step test mean absolute error at early stop (mm) test mean absolute '
        'error at the end (mm) 0 100 1 1,000 12.3 12.3 1 80.0 1 999 11.9 11.9',
        'Winning ticket 0 80.0 1 0.4 [0.4, 0.4] 0.0 [0.0, 0.0] 11.9'),
    'language': (
        LANGUAGE, (41.5, 42.0, 41.0), (),
        'The smallest winning ticket keeps 64.0 % of the weights (level 2): it ends with 41.00 test perplexity; the '
        'dense network with 41.50 test perplexity.',
        ['perplexity_at_end', 'learning_curves'],
        'level weights left (%) runs test perplexity at the end 0 100 1 41.50 1 80.0 1 42.00',
        'Winning ticket 0 80.0 1 0.40 [0.40, 0.40] 0.00 [0.00, 0.00] 42.00'),
    'control': (
        CONTROL, (195.0, 190.0, -20.0), (),
        'No winning ticket was found at levels 1 to 2: the validation reward of none is highest as early as that of '
        'the dense network, at step 1,000, with 195 test reward, and with no less reward.',
        ['reward_at_early_stop', 'early_stop_step', 'reward_at_end', 'learning_curves'],
        'level weights left (%) runs early-stop step test reward at early stop test reward at the end 0 100 1 1,000 '
        '195 195 1 80.0 1 999 190 190 2 64.0 1 998 -20 -20',
        'Winning ticket 0 80.0 1 0 [0, 0] 0 [0, 0] 190'),
    'translation': (
        TRANSLATION, (27.0, 26.5, 26.4), ((30.0, 31.5),),
        'No winning ticket was found at levels 1 to 2: the validation loss of none is lowest as early as that of the '
        'dense network, at step 1,000, with 27.0 test BLEU, and with no less BLEU.',
        ['bleu_at_early_stop', 'early_stop_step', 'bleu_at_end', 'perplexity_at_early_stop', 'perplexity_at_end',
         'learning_curves', 'learning_curves_perplexity'],
        'level weights left (%) runs early-stop step test BLEU at early stop test BLEU at the end test perplexity at '
        'early stop test perplexity at the end 0 100 1 1,000 27.0 27.0 30.00 31.50',
        'Winning ticket 0 80.0 1 0.4 [0.4, 0.4] 0.0 [0.0, 0.0] 26.5 yes yes Winning ticket 0 64.0 1 0.4 [0.4, 0.4] 0.0 '
        '[0.0, 0.0] 26.4 yes no'),
}


@pytest.fixture(scope='module', params=TASKS)
def measured(request, tmp_path_factory):
    """A folder of a report whose runs are not judged by accuracy, its page, and what is expected of it."""
    measures, values, others, *expected = TASKS[request.param]
    workdir = str(tmp_path_factory.mktemp(request.param))
    save_measured(workdir, measures, values, others)
    page = Page(storage.read_text(report.write(workdir, report.find(workdir))))
    return storage.join(workdir, 'report'), page, measures, expected


def test_a_report_speaks_of_what_its_runs_are_judged_by(measured):
    folder, page, measures, (sentence, names, table, connectivity) = measured
    assert sentence in page.text
    assert table in page.text
    assert connectivity in page.text
    assert [name.removesuffix('.png') for name in storage.list_folder(folder) if name.endswith('.png')] == sorted(
        [*names, 'density_per_layer', 'connectivity_ticket'])
    spoken = page.text.partition('How it was run')[0] + ' '.join(
        attributes['alt'] for tag, attributes in page.tags if tag == 'img')
    assert not re.search('accura' if measures.early_stop else 'accura|minimum|early', spoken)
    assert ('Stable is below 1 of test error; matching is at most 0.5 worse than the dense network.' in page.text) is (
        measures is TRANSLATION)
    assert ('No more than 1 above the ends is called stable' in page.text) is (measures is TRANSLATION)


def test_the_csv_files_have_the_columns_of_the_measures(measured):
    folder, _, measures, _ = measured
    summary = pd.read_csv(f'{folder}/summary.csv')
    assert list(summary) == ['branch', 'level', 'density', 'n', 'diverged', *(
        f'{column}_{statistic}' for column in measures.columns for statistic in ('mean', 'min', 'max')), 'rewind_step']
    assert 'measures' not in pd.read_csv(f'{folder}/runs.csv')
    assert list(pd.read_csv(f'{folder}/connectivity.csv'))[11:] == [
        measures.lead.name, *(['stable', 'matching'] if measures is TRANSLATION else [])]


@pytest.mark.parametrize(('measures', 'others', 'names', 'alternative'), [
    (REGRESSION, (), ['mae_by_rewinding_step', 'rewinding_mae'],
     'Instability against the rewinding step, in mm of test mean absolute error. Winning ticket, step 5: 0.4.'),
    (TRANSLATION, ((30.0, 31.5),),
     ['bleu_by_rewinding_step', 'perplexity_by_rewinding_step', 'rewinding_bleu', 'rewinding_perplexity'],
     'Instability against the rewinding step, in test error. Winning ticket, step 5: 0.4.')])
def test_a_sweep_draws_each_measure(tmp_path, measures, others, names, alternative):
    save_measured(str(tmp_path), measures, (0.027, 0.0265, 0.0264), others, rewinds=(5, 9))
    page = Page(storage.read_text(report.write(str(tmp_path), report.find(str(tmp_path)))))
    of_one_step = [*(f'{measure.name}_at_{end}' for measure in measures.each for end in ('early_stop', 'end')),
                   *(f'learning_curves{name}' for name in ('', *(f'_{each.name}' for each in measures.each[1:]))),
                   'early_stop_step', 'density_per_layer']
    assert [name.removesuffix('.png') for name in storage.list_folder(str(tmp_path / 'report')) if name.endswith(
        '.png')] == sorted([*names, 'connectivity_ticket', 'instability', *of_one_step])
    assert any(attributes['alt'].startswith(alternative) for tag, attributes in page.tags if tag == 'img')


@pytest.mark.parametrize(('replicates', 'sentence'), [
    ([(41.5,)], 'Only the dense network has finished: it ends with 41.50 test perplexity.'),
    ([(41.5, 42.0)], 'No winning ticket was found at levels 1 to 1: none ends with no more perplexity than the dense '
                     'network, with 41.50 test perplexity.'),
    ([(41.5, 42.0), (40.0,)], 'No winning ticket was found at levels 1 to 1: none ends with no more perplexity than '
                              'the dense network of the same replicate.'),
    ([(41.5, 41.0), (40.0,)], 'The smallest winning ticket keeps 80.0 % of the weights (level 1): it ends with 41.00 '
                              'test perplexity; the dense network of the same replicates (1 of 2) with 41.50 test '
                              'perplexity.')])
def test_headline_without_an_early_stop(tmp_path, replicates, sentence):
    save_experiment(str(tmp_path), replicates=len(replicates))
    for replicate, values in enumerate(replicates):
        for level, value in enumerate(values):
            save_run(str(tmp_path), level=level, replicate=replicate, final=value, measures=LANGUAGE)
    assert report.headline({0: frames(tmp_path)[1]}) == sentence


def test_what_is_infinite_is_in_the_tables_and_leaves_the_pictures(tmp_path):
    save_experiment(str(tmp_path), levels=2)
    for level, value in enumerate((41.5, 41.0, math.inf)):
        save_run(str(tmp_path), level=level, accuracy=value, final=value, measures=LANGUAGE)
    found = report.find(str(tmp_path))
    page = Page(storage.read_text(report.write(str(tmp_path), found)))
    assert '2 64.0 1 inf' in page.text
    drawn = {picture.name: picture.figure.axes[0] for picture in report.pictures(found)}
    assert drawn['perplexity_at_end'].get_ylim() == pytest.approx((41.0 - 0.025, 41.5 + 0.025))
