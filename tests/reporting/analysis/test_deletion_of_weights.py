"""What deleting weights did to the loss, read and drawn from hand-made files."""

import pandas as pd
import pytest
from fake_runs import frames, save_experiment, save_run

from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import report
from tf_lottery.reporting.analysis import deletion
from tf_lottery.reporting.pictures import deletion as pictures
from tf_lottery.runtime import storage

DELETED = [0.0, 0.25, 0.5, 1.0]


def saved(folder, replicates=2, lowest=0.1):
    save_experiment(str(folder), replicates=replicates)
    for replicate in range(replicates):
        save_run(str(folder), replicate=replicate)
        save_run(str(folder), level=1, replicate=replicate)
        storage.write_json(storage.join(folder, Run(replicate, 0, 'ticket').folder, 'deletion.json'), {
            'examples': 500, 'deleted': DELETED, 'predicted': [lowest, 0.1, 0.2, 0.4],
            'actual': [lowest, 0.1, 0.3, 2.0 + replicate], 'by_magnitude': [lowest, 0.2, 0.4, 2.0]})
    return frames(folder)[0]


def test_a_row_per_replicate_and_place(tmp_path):
    losses = deletion.losses(saved(tmp_path))
    assert list(losses) == ['replicate', 'examples', 'deleted', 'predicted', 'actual', 'by_magnitude']
    assert len(losses) == 8 and losses['actual'].tolist() == [0.1, 0.1, 0.3, 2.0, 0.1, 0.1, 0.3, 3.0]


def test_the_picture_has_predicted_and_actual_losses(tmp_path):
    (picture,) = pictures.draw(deletion.losses(saved(tmp_path)))
    lines = {line.get_label(): line for line in picture.figure.axes[0].lines}
    assert lines['deleted by saliency'].get_ydata().tolist() == [0.1, 0.1, 0.3, 2.5]
    assert lines['predicted by the saliencies'].get_ydata().tolist() == [0.1, 0.1, 0.2, 0.4]
    assert lines['deleted by magnitude'].get_xdata().tolist() == [0, 25, 50, 100]
    assert picture.figure.axes[0].get_yscale() == 'log'
    assert 'The loss is 0.1 with all weights.' in picture.alternative
    assert '50 % deleted: predicted 0.2, actual 0.3, by magnitude 0.4.' in picture.alternative


def test_losses_that_are_not_positive_are_drawn_as_they_are(tmp_path):
    (picture,) = pictures.draw(deletion.losses(saved(tmp_path, lowest=-0.1)))
    assert picture.figure.axes[0].get_yscale() == 'linear'


def test_the_report_has_the_picture_and_the_numbers_where_they_were_measured(tmp_path):
    saved(tmp_path)
    page = storage.read_text(report.write(str(tmp_path), report.find(str(tmp_path))))
    assert '<h2>Optimal Brain Damage</h2>' in page and storage.exists(f'{tmp_path}/report/deletion.png')
    table = pd.read_csv(f'{tmp_path}/report/deletion.csv')
    assert len(table) == 8 and table['predicted'].iloc[3] == pytest.approx(0.4)
    for replicate in range(2):
        storage.remove(storage.join(tmp_path, Run(replicate, 0, 'ticket').folder, 'deletion.json'))
    assert list(pictures.draw(report.find(str(tmp_path)).losses)) == []
