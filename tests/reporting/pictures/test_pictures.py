"""What all pictures of a report have in common."""

import matplotlib
from fake_runs import save_experiment, save_run

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import report
from tf_lottery.reporting.pictures import STYLE, look


def test_the_legend_lies_outside_the_axes_and_inside_the_picture(tmp_path):
    save_experiment(str(tmp_path))
    layers = {f'a/very/long/name/of/a/layer_{number}/kernel': 0.5 for number in range(8)}
    save_run(str(tmp_path), accuracy=0.98, layers=layers)
    save_run(str(tmp_path), level=1, accuracy=0.97, layers=layers)
    for branch in list(BRANCHES)[1:]:
        save_run(str(tmp_path), branch, 1, accuracy=0.1)
    with matplotlib.rc_context(STYLE):
        figures = [picture.figure for picture in report.pictures(report.find(str(tmp_path)))]
        # What is compared at one density has its names at the axis.
        assert sum(not figure.legends for figure in figures) == 1
        for figure in (figure for figure in figures if figure.legends):
            figure.draw_without_rendering()
            legend, axes = figure.legends[-1].get_window_extent(), figure.axes[0].get_tightbbox()
            assert legend.y1 <= axes.y0
            assert legend.y0 >= 0
            assert legend.x0 >= 0
            assert legend.x1 <= figure.bbox.x1


def test_looks_differ_in_colour_or_line():
    looks = [look(number) for number in range(57)]
    assert len({(each['color'], each['linestyle']) for each in looks}) == 57
    assert len({each['marker'] for each in looks[:9]}) == 9
    assert len({each['marker'] for each in looks[9:17]}) == 8
