"""Tests of tf_lottery/reporting/pictures/density.py on hand-made runs."""

import math

import pytest
from fake_runs import LANGUAGE, REGRESSION, frames, save_experiment, save_run
from figures import labels, lines

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting.pictures import density


def test_lines_are_means_that_start_at_the_dense_network(compared):
    drawn = lines(density.against_density(compared[1], 'early_stop_test_accuracy', 'title', 'label'))
    assert list(drawn['Random mask'].get_xdata()) == pytest.approx([100, 64, 51.2])
    assert list(drawn['Random mask'].get_ydata()) == pytest.approx([91, 89, 89])
    assert len(drawn['Winning ticket'].get_xdata()) == 21
    assert list(drawn['Dense network'].get_ydata()) == pytest.approx([91, 91])
    assert drawn['Dense network'].get_linestyle() == '--'
    assert drawn['Smallest winning ticket (1.2 %)'].get_ydata() == pytest.approx([93])


def test_bands_reach_from_the_lowest_to_the_highest_run(compared):
    axes = density.against_density(compared[1], 'early_stop_test_accuracy', 'title', 'label').axes[0]
    ticket, control = (band.get_paths()[0].get_extents() for band in axes.collections)
    assert (ticket.y0, ticket.y1) == pytest.approx((90, 94))
    assert (control.y0, control.y1) == pytest.approx((88, 92))


def test_density_runs_from_100_on_the_left_with_ticks_at_the_levels(compared):
    figure = density.against_density(compared[1], 'early_stop_step', 'title', 'label')
    axes = figure.axes[0]
    left, right = axes.get_xlim()
    assert left > 100
    assert right < 1.15
    assert axes.get_xscale() == 'log'
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        '100', '51.2', '26.2', '13.4', '6.9', '3.5', '1.2']
    assert axes.get_ylim()[0] == 0


def test_a_level_without_its_dense_network_is_drawn_alone(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), level=1)
    axes = density.against_density(frames(tmp_path)[1], 'early_stop_step', 'title', 'label').axes[0]
    left, right = axes.get_xlim()
    assert left == pytest.approx(80 * math.exp(0.1))
    assert right == pytest.approx(80 / math.exp(0.1))


def test_a_branch_that_collapses_does_not_flatten_the_others(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), accuracy=0.98)
    save_run(str(tmp_path), level=1, accuracy=0.97)
    save_run(str(tmp_path), 'random_mask', 1, accuracy=0.1)
    figure = density.against_density(frames(tmp_path)[1], 'early_stop_test_accuracy', 'title', 'label')
    bottom, top = figure.axes[0].get_ylim()
    assert 88 < bottom < 89 < 98 < top < 99
    assert 'Random mask (↓ 10.0)' in labels(figure)


def test_lines_are_in_the_unit_of_their_measure_and_worse_is_up_where_lower_is_better(tmp_path):
    save_experiment(str(tmp_path))
    for branch, level, value in (('ticket', 0, 0.010), ('ticket', 1, 0.011), ('random_mask', 1, 0.5)):
        save_run(str(tmp_path), branch, level, accuracy=value, measures=REGRESSION)
    picture = next(density.draw(*frames(tmp_path)))
    assert list(lines(picture.figure)['Winning ticket'].get_ydata()) == pytest.approx([10, 11])
    assert picture.figure.axes[0].get_ylabel() == 'test mean absolute error (mm)'
    assert 'Random mask (↑ 500.0)' in labels(picture.figure)
    assert 'Lower is better.' in picture.caption


def test_a_single_value_is_drawn_with_room_for_its_last_decimal(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), final=40.0, measures=LANGUAGE)
    figure = density.against_density(frames(tmp_path)[1], 'final_test_perplexity', 'title', 'beside')
    assert figure.axes[0].get_ylim() == pytest.approx((39.5, 40.5))


def test_diverged_runs_leave_a_gap(tmp_path):
    save_experiment(str(tmp_path), levels=3)
    for level in range(4):
        save_run(str(tmp_path), level=level, diverged=level == 2)
    drawn = lines(density.against_density(frames(tmp_path)[1], 'final_test_accuracy', 'title', 'label'))
    assert [math.isnan(value) for value in drawn['Winning ticket'].get_ydata()] == [False, False, True, False]


def test_alternative_texts_end_before_what_diverged(tmp_path):
    save_experiment(str(tmp_path))
    for level in range(3):
        save_run(str(tmp_path), level=level, diverged=level == 2)
    assert next(density.draw(*frames(tmp_path))).alternative.endswith('90.00 at 80.0 %.')


def test_density_per_layer_names_the_densest_and_the_sparsest_of_many(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), layers={f'layer_{number:02d}': 1.0 for number in range(20)})
    save_run(str(tmp_path), level=1, layers={f'layer_{number:02d}': 0.95 - 0.01 * number for number in range(20)})
    figure = density.density_per_layer(frames(tmp_path)[0])
    assert labels(figure) == [
        *(f'layer_{number:02d}' for number in (0, 1, 2, 3, 16, 17, 18, 19)), 'all weights', '12 layers in between']
    assert list(lines(figure)['layer_19'].get_ydata()) == pytest.approx([100, 76])
    assert list(lines(figure)['all weights'].get_ydata()) == pytest.approx([100, 80])


def test_every_branch_has_a_look_of_its_own(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path))
    for branch in BRANCHES:
        save_run(str(tmp_path), branch, 1)
    figure = density.against_density(frames(tmp_path)[1], 'final_test_accuracy', 'title', 'label')
    drawn = [lines(figure)[branch.title] for branch in BRANCHES.values() if not branch.reorders]
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in drawn}
    assert len(looks) == len(drawn) == len(BRANCHES) - 2
    assert [line.get_color() for line in drawn].count(drawn[0].get_color()) == 1
    # What a legend of so many branches needs comes on top of what the axes have.
    assert figure.get_figheight() == pytest.approx(4.4 + 0.2 * ((len(drawn) + 2) / 2 - 4))


@pytest.mark.parametrize(('branches', 'alpha'), [(list(BRANCHES)[:6], 0.15), (list(BRANCHES)[:10], 0.09)])
def test_many_bands_are_fainter_than_few(tmp_path, branches, alpha):
    save_experiment(str(tmp_path))
    for branch in branches:
        save_run(str(tmp_path), branch, 1)
    axes = density.against_density(frames(tmp_path)[1], 'final_test_accuracy', 'title', 'label').axes[0]
    assert axes.collections[0].get_alpha() == pytest.approx(alpha)


def test_without_tickets_all_branches_are_in_the_picture(tmp_path):
    save_experiment(str(tmp_path), levels=2)
    save_run(str(tmp_path), final=0.98)
    for branch, accuracy in (('edge_popup', 0.6), ('edge_popup_trained', 0.9)):
        save_run(str(tmp_path), branch, 1, final=accuracy)
    figure = density.against_density(frames(tmp_path)[1], 'final_test_accuracy', 'title', 'label')
    bottom, top = figure.axes[0].get_ylim()
    assert bottom < 60 < 98 < top
    # Scores are trained and weights are not: its line does not begin at the dense network.
    drawn = lines(figure)
    assert list(drawn['Edge-popup'].get_xdata()) == pytest.approx([80])
    assert list(drawn['Edge-popup, trained'].get_xdata()) == pytest.approx([100, 80])


def test_what_is_never_trained_starts_from_no_dense_network_and_has_no_early_stop(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), accuracy=0.98)
    # Tables have the untrained one between others.
    for branch, step in (('ticket', 100), ('random_mask', 200), ('untrained', 0), ('rigl', 150)):
        save_run(str(tmp_path), branch, 1, step=step, accuracy=0.97)
    drawn = {picture.name: picture for picture in density.draw(*frames(tmp_path))}
    at_end, steps = (lines(drawn[name].figure) for name in ('accuracy_at_end', 'early_stop_step'))
    title = BRANCHES['untrained'].title
    assert list(at_end['Random mask'].get_xdata()) == pytest.approx([100, 80])
    assert list(at_end[title].get_xdata()) == pytest.approx([80])
    assert title not in steps and title not in drawn['early_stop_step'].alternative
    assert title in drawn['accuracy_at_end'].alternative
    assert 'RigL: 150 at ' in drawn['early_stop_step'].alternative
