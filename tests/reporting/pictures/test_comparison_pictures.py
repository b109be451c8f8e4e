"""Pictures of branches and experiments at the same density, on hand-made numbers."""

import io

import pytest
from fake_runs import REGRESSION, frames, save_experiment, save_run

from tf_lottery.reporting.pictures import comparison

BRANCHES = {'ticket': 0.98, 'random_reinit': 0.96, 'random_mask': 0.97}


def saved(folder, finals, levels=(1, 2, 3, 4), **more):
    save_experiment(str(folder), levels=4, branches=tuple(finals))
    save_run(str(folder), final=0.95, **more)
    for level in levels:
        for branch, final in finals.items():
            save_run(str(folder), branch, level, final=final, **more)
    return frames(folder)


def names(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def test_the_best_is_on_top_in_a_panel_for_each_of_three_densities(tmp_path):
    (picture,) = comparison.draw(*saved(tmp_path, BRANCHES))
    assert picture.name == 'branches_at_density'
    axes = picture.figure.axes
    assert [panel.get_title(loc='left') or panel.get_title() for panel in axes] == [
        f'{density} % of the weights' for density in ('80.0', '51.2', '41.0')]
    assert [names(panel) for panel in axes] == [['Random reinitialisation', 'Random mask', 'Winning ticket']] * 3
    assert [container.lines[0].get_xdata()[0] for container in axes[0].containers] == pytest.approx([96, 97, 98])
    # The dense network.
    assert axes[0].lines[0].get_xdata()[0] == pytest.approx(95)
    assert ('At 80.0 % of the weights: Winning ticket 98.0 %, Random mask 97.0 %, Random reinitialisation 96.0 %.'
            in picture.alternative)
    picture.figure.savefig(io.BytesIO(), format='png')


def test_bars_reach_from_the_lowest_to_the_highest_run(tmp_path):
    saved(tmp_path, BRANCHES)
    save_run(str(tmp_path), 'random_mask', 1, replicate=1, final=0.93)
    (picture,) = comparison.draw(*frames(tmp_path))
    axes = picture.figure.axes[0]
    (segment,) = axes.containers[names(axes).index('Random mask')].lines[2][0].get_segments()
    assert segment[:, 0].tolist() == pytest.approx([93, 97])
    assert axes.get_xlim()[0] < 93


def test_who_is_far_behind_leaves_the_picture_and_is_told(tmp_path):
    (picture,) = comparison.draw(*saved(tmp_path, {**BRANCHES, 'random_sparse': 0.2}, levels=(1,)))
    (axes,) = picture.figure.axes
    assert axes.get_xlim()[0] > 90
    assert [text.get_text() for text in axes.texts] == ['← 20.0']


def test_lower_is_better_where_it_is(tmp_path):
    (picture,) = comparison.draw(*saved(
        tmp_path, {'ticket': 0.1, 'random_reinit': 0.3, 'random_mask': 0.2, 'random_sparse': 9.0}, levels=(1,),
        measures=REGRESSION))
    (axes,) = picture.figure.axes
    assert names(axes)[-1] == 'Winning ticket' and [text.get_text() for text in axes.texts] == ['9000.0 →']


def test_two_branches_and_levels_that_few_branches_have_are_not_compared(tmp_path):
    assert not list(comparison.draw(*saved(tmp_path / 'two', {'ticket': 0.9, 'random_mask': 0.8})))
    saved(tmp_path, BRANCHES, levels=(2,))
    save_run(str(tmp_path), level=1)
    (picture,) = comparison.draw(*frames(tmp_path))
    assert len(picture.figure.axes) == 1


def test_a_dense_network_that_has_not_finished_is_no_line(tmp_path):
    saved(tmp_path, BRANCHES)
    save_run(str(tmp_path), diverged=True)
    (picture,) = comparison.draw(*frames(tmp_path))
    assert 'Dashed' not in picture.caption and len(picture.figure.axes[0].containers) == 3


def test_what_is_infinite_leaves_the_picture(tmp_path):
    (picture,) = comparison.draw(*saved(
        tmp_path, {'ticket': 0.1, 'random_reinit': 0.3, 'random_mask': float('inf')}, levels=(1,), measures=REGRESSION))
    (axes,) = picture.figure.axes
    assert [text.get_text() for text in axes.texts] == ['inf →']
    picture.figure.savefig(io.BytesIO(), format='png')
