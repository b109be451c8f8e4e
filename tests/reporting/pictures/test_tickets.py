"""Tests of tf_lottery/reporting/pictures/tickets.py on hand-made runs."""

import io

import matplotlib
import numpy as np
import pytest
from fake_runs import frames, save_experiment, save_run, save_weights
from figures import labels
from matplotlib.figure import Figure

from tf_lottery.reporting import report
from tf_lottery.reporting.pictures import COLOURS, STYLE, tickets
from tf_lottery.runtime import storage

LENET = ['fc1/kernel', 'fc2/kernel', 'output/kernel']


def save_tickets(workdir, levels, layers=LENET, replicates=1):
    """Tickets whose layers are [8, 5], half of the weights pruned per level, those of the highest index first."""
    save_experiment(workdir, levels=max(levels), replicates=replicates)
    for replicate in range(replicates):
        rng = np.random.default_rng(replicate)
        initial, trained = ({name: rng.normal(size=(8, 5)).astype(np.float32) for name in layers} for _ in range(2))
        for level in levels:
            mask = {name: (np.arange(40) < 40 / 2**level).reshape(8, 5) for name in layers}
            save_run(workdir, level=level, replicate=replicate, density=0.5**level,
                     layers=dict.fromkeys(layers, 0.5**level))
            save_weights(workdir, initial, mask, trained, level, replicate)
    return frames(workdir)


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_a_report_ends_in_three_pictures_with_a_column_per_layer(tmp_path):
    save_tickets(str(tmp_path), range(6), replicates=2)
    drawn = list(report.pictures(report.find(str(tmp_path))))[-3:]
    assert [picture.name for picture in drawn] == ['ticket_weights', 'ticket_movement', 'ticket_connections']
    assert [len(picture.figure.axes) for picture in drawn] == [2 * 3, 3 * 3, 2 * 3]
    for picture in drawn:
        assert titles(picture.figure) == ['fc1', 'fc2', 'output']
        assert picture.section == 'What is in the ticket'
        assert 'layers: the first' not in picture.caption
        picture.figure.savefig(io.BytesIO(), format='png')
    assert [picture.figure.get_suptitle() for picture in drawn] == [
        'Weights that survive', 'How weights moved in the dense network', 'Connections that units keep']
    assert [[axes.get_ylabel() for axes in picture.figure.axes[::3]] for picture in drawn] == [
        ['at initialisation', 'trained'], ['distance', 'growth', 'outward'], ['incoming / mean', 'outgoing / mean']]


def test_lines_are_a_few_levels(tmp_path):
    weights, _, connections = tickets.draw(*save_tickets(str(tmp_path), range(6)))
    assert labels(weights.figure) == ['100 %', '25.0 %', '12.5 %', '3.1 %']
    assert labels(connections.figure) == ['25.0 %', '12.5 %', '3.1 %']
    assert [len(axes.patches) for axes in (weights.figure.axes[0], connections.figure.axes[0])] == [4, 3]
    # A line has the colour of its level in both pictures.
    assert [tuple(patch.get_edgecolor()) for patch in weights.figure.axes[0].patches[1:]] == [
        tuple(patch.get_edgecolor()) for patch in connections.figure.axes[0].patches]


def test_bins_are_as_many_as_the_smallest_sample_fills():
    figure = Figure()
    for count, size in enumerate((50, 900, 9000)):
        panel = figure.add_subplot(1, 3, count + 1)
        tickets._histograms(panel, {0: np.arange(10_000), 1: np.arange(size)}, {0: 'k', 1: 'r'})
    assert [len(axes.patches[1].get_data().values) for axes in figure.axes] == [20, 30, 40]


def test_movement_sets_the_smallest_winning_ticket_against_the_rest(tmp_path):
    movement = list(tickets.draw(*save_tickets(str(tmp_path), range(4))))[1]
    # All runs of save_run are equally good, so the sparsest of them wins.
    assert labels(movement.figure) == ['in the ticket of 12.5 %', 'pruned']
    others, ticket = movement.figure.axes[0].patches
    assert matplotlib.colors.same_color(ticket.get_edgecolor(), COLOURS[0])
    assert matplotlib.colors.same_color(others.get_edgecolor(), COLOURS[1])


def test_connections_are_sorted_multiples_of_the_mean(tmp_path):
    connections = list(tickets.draw(*save_tickets(str(tmp_path), range(2))))[2]
    # 20 of [8, 5] weights, row by row: four input units keep all of theirs and four none; outputs keep 4 of 8 each.
    incoming, outgoing = (axes.patches[0].get_data() for axes in connections.figure.axes[::3])
    assert list(incoming.values) == [1] * 5
    assert list(outgoing.values) == [2] * 4 + [0] * 4
    assert list(outgoing.edges) == [12.5 * number for number in range(9)]
    assert connections.alternative.endswith('output, incoming 1.00 and 1.00, outgoing 0.00 and 2.00.')


def test_alternative_texts_say_how_large_and_how_far(tmp_path):
    save_experiment(str(tmp_path))
    initial = {LENET[0]: np.array([[1, -2, 3, -4]], np.float32)}
    dense = {LENET[0]: np.array([[2, -1, 3.5, -8]], np.float32)}
    mask = {LENET[0]: [[0, 0, 1, 1]]}
    for level in range(2):
        save_run(str(tmp_path), level=level, layers={LENET[0]: 0.5**level})
    save_weights(str(tmp_path), initial, {LENET[0]: np.ones((1, 4))}, dense)
    save_weights(str(tmp_path), initial, mask, {LENET[0]: np.array([[0, 0, 6, -9]], np.float32)}, 1)
    weights, movement, _ = tickets.draw(*frames(tmp_path))
    assert weights.alternative.endswith(
        'fc1, at initialisation 2.500 at 100 % and 3.500 at 80.0 %, trained 2.750 at 100 % and 7.500 at 80.0 %.')
    assert movement.alternative.endswith(
        'fc1: median distance 2.250 and 1.000; 100 % and 50 % grew; 100 % and 50 % moved away from zero.')


def test_of_many_layers_four_are_drawn_and_the_caption_says_so(tmp_path):
    layers = [f'stage{number}/block/conv/kernel' for number in range(16)]
    for picture in tickets.draw(*save_tickets(str(tmp_path), range(2), layers)):
        assert titles(picture.figure) == ['…/block/conv'] * 4
        assert 'Of 16 pruned layers: the first, two in the middle, the last.' in picture.caption
    assert tickets._first_middle_last(layers) == [layers[0], layers[7], layers[8], layers[15]]


def test_layers_that_are_never_pruned_are_left_out(tmp_path):
    frame, summary = save_tickets(str(tmp_path), range(2))
    frame['layers'] = [{**layers, LENET[2]: 1.0} for layers in frame['layers']]
    for picture in tickets.draw(frame, summary):
        assert titles(picture.figure) == ['fc1', 'fc2']


@pytest.mark.parametrize('count', [1, 4])
def test_nothing_overlaps(tmp_path, count):
    layers = [f'a/long/name/of/a/layer_{number}/kernel' for number in range(count)]
    runs = save_tickets(str(tmp_path), range(6), layers)
    with matplotlib.rc_context(STYLE):
        for figure in [picture.figure for picture in tickets.draw(*runs)]:
            figure.draw_without_rendering()
            legend = figure.legends[0].get_window_extent()
            boxes = [axes.get_tightbbox() for axes in figure.axes]
            assert all(legend.y1 <= box.y0 for box in boxes)
            for number, box in enumerate(boxes):
                assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
                assert not any(box.overlaps(other) for other in boxes[number + 1:])


def test_nothing_is_drawn_of_what_is_not_there(tmp_path):
    # Only the dense network.
    assert list(tickets.draw(*save_tickets(str(tmp_path / 'dense'), [0]))) == []
    # No W_0.
    runs = save_tickets(str(tmp_path / 'no_initial'), range(3))
    storage.remove(str(tmp_path / 'no_initial/replicate_0/rewind/initial.npz'))
    assert list(tickets.draw(*runs)) == []
    # Nothing pruned yet.
    frame, summary = save_tickets(str(tmp_path / 'dense'), range(2))
    frame['layers'] = [dict.fromkeys(LENET, 1.0)] * len(frame)
    assert list(tickets.draw(frame, summary)) == []
    # No arrays at all.
    save_experiment(str(tmp_path / 'bare'))
    for level in range(2):
        save_run(str(tmp_path / 'bare'), level=level)
    assert list(tickets.draw(*frames(tmp_path / 'bare'))) == []


def test_movement_needs_the_dense_network(tmp_path):
    runs = save_tickets(str(tmp_path), range(2))
    storage.remove(str(tmp_path / 'replicate_0/level_00/ticket/weights.npz'))
    assert [picture.name for picture in tickets.draw(*runs)] == ['ticket_weights', 'ticket_connections']


def test_a_level_that_diverged_is_left_out(tmp_path):
    save_tickets(str(tmp_path), range(3))
    save_run(str(tmp_path), level=2, diverged=True)
    weights, movement, _ = tickets.draw(*frames(tmp_path))
    assert labels(weights.figure) == ['100 %', '50.0 %']
    assert labels(movement.figure)[0] == 'in the ticket of 50.0 %'
