"""An experiment on a text from one end to the other: a kill in the middle of an epoch, and what is exported."""

import json
import pathlib

import fake_texts
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.experiment import config, runs
from tf_lottery.experiment.experiment import Experiment
from tf_lottery.exports import export
from tf_lottery.reporting import results


def experiment(workdir, texts, **changes):
    what = config.check(fake_texts.settings(branches=('ticket', 'random_global'), **changes), texts)
    runs.claim(str(workdir), what, 'python main.py')
    return Experiment(str(workdir), what, tf.distribute.get_strategy(), texts)


@pytest.fixture(scope='module')
def done(texts, tmp_path_factory):
    done = experiment(tmp_path_factory.mktemp('done'), texts)
    done.run()
    return done


def files(done):
    folder = pathlib.Path(done.workdir)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('replicate_*/**/*'))
            if path.is_file() and path.name != 'timing.json'}


class Killed(Exception):
    """Nothing is saved when it comes."""


def test_a_kill_in_the_middle_of_an_epoch_changes_no_bit(done, texts, tmp_path):
    first = experiment(tmp_path, texts)
    assert first.protocol.end_step == 32

    def kill(run, step):
        # An epoch has 16 steps, a checkpoint is written every 4, and the ticket begins in mid-epoch, too, at step 7.
        if (run.level, run.branch) == (1, 'ticket') and step >= 23:
            raise Killed

    with pytest.raises(Killed):
        first.run(kill)
    again = experiment(tmp_path, texts)
    again.run()
    assert files(again) == files(done)


def test_states_are_part_of_the_rewinding_point(done):
    state = done.read('replicate_0/rewind/state.npz')
    assert {name: array.shape for name, array in state.items()} == {
        name: (4, 6) for name in ('hidden1', 'cell1', 'hidden2', 'cell2')}
    assert all(array.any() for array in state.values())


def test_global_random_ticket_keeps_as_many_weights_elsewhere(done):
    own, other = (done.mask(runs.Run(0, 1, branch)) for branch in ('ticket', 'random_global'))
    assert own.kept == other.kept
    assert {name: array.sum() for name, array in own.items()} != {name: array.sum() for name, array in other.items()}
    # Biases are pruned, too.
    assert not own['lstm1/bias'].all()


def test_export_has_the_perplexity_of_the_run(done, texts):
    run = runs.Run(0, 1, 'ticket')
    folder = pathlib.Path(export.export_run(
        done.workdir, runs.read_config(done.workdir), run, results.summarise(results.load_results(done.workdir)),
        data_dir=texts, options=export.Options(('saved_model', 'ticket'))))
    about = json.loads((folder / 'ticket.json').read_text())
    result = json.loads((pathlib.Path(done.workdir) / run.folder / 'result.json').read_text())
    assert about['measured_by'] == 'serving_text'
    assert about['test_log_perplexity'] == pytest.approx(result['final_test_log_perplexity'], abs=1e-5)
    assert 'By `serving_text`, on the whole test set: ' in (folder / 'README.md').read_text()
    served = tf.saved_model.load(str(folder)).signatures
    ids = [about['words'].index(word) for word in ('w3', '<unk>', '<eos>')]
    text = served['serving_text'](text=tf.constant(['w3  nonsense\n', '']))
    numbers = served['serving_default'](words=tf.constant([ids, [-1] * 3]))
    assert np.allclose(text['log_probabilities'], numbers['log_probabilities'], atol=1e-6)
    assert np.allclose(text['next_probabilities'], numbers['next_probabilities'], atol=1e-6)
    assert not text['log_probabilities'].numpy()[1].any()
    assert [about['words'][number] for number in numbers['next_word'].numpy()] == [
        word.decode() for word in text['next_word'].numpy()]
