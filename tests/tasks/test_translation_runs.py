"""A translator from end to end: trained, killed and resumed, pruned, reported and exported."""

import pathlib

import fake_pairs
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.data.subwords import SUBWORDS, SubWords
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config, runs
from tf_lottery.experiment.experiment import Experiment
from tf_lottery.exports import export
from tf_lottery.pruning import wrapper
from tf_lottery.reporting import report, results
from tf_lottery.runtime import storage
from tf_lottery.tasks.translator import Translator, bleu
from tf_lottery.training.metrics import from_csv

TICKET = runs.Run(0, 1, 'ticket')


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope='module')
def done(texts, tmp_path_factory):
    """An experiment in one go; its epochs have six steps, and training ends in the mean of steps 20 and 30."""
    workdir = str(tmp_path_factory.mktemp('runs') / 'done')
    protocol = config.check(fake_pairs.settings(
        training__length='30it', training__evaluate_every='10it', training__checkpoint_every='5it', training__average=2,
        training__block=1, training__learning_rate=0.05, branches=('ticket', 'random_sparse'),
        pruning__scope='global'), texts)
    runs.claim(workdir, protocol, 'a test')
    own = Experiment(workdir, protocol, tf.distribute.get_strategy(), texts)
    own.run()
    return own


def files(workdir):
    """Every file that the trainings wrote, but for how long they took."""
    workdir = pathlib.Path(workdir)
    return {str(path.relative_to(workdir)): path.read_bytes() for path in workdir.glob('replicate_*/**/*')
            if path.is_file() and path.name != 'timing.json'}


def test_a_kill_in_mid_epoch_changes_no_bit(done, tmp_path):
    finished, places = done.workdir, [(runs.Run(0, 0, 'ticket'), 7), (TICKET, 28)]
    runs.claim(str(tmp_path), done.protocol, 'a test')

    def kill(run, step):
        if places and (run, step) == places[0]:
            del places[0]
            raise KilledError

    done.workdir = str(tmp_path)
    try:
        for _ in range(2):
            with pytest.raises(KilledError):
                done.run(kill)
            # Nothing of what was in memory is left.
            for variable in (*done.trainer.state(), *done.trainer._sums):
                variable.assign(np.full(variable.shape, 7, variable.numpy().dtype))
        done.run(kill)
    finally:
        done.workdir = finished
    assert files(tmp_path) == files(finished)


def translated(done, texts):
    """What the trained ticket makes of the test set, by a network of its own without wrappers."""
    task, weights = done.protocol.task, done.weights(TICKET)
    network, corpus = task.network(0), task.corpus(texts)
    for name, variable in wrapper.variables(network).items():
        variable.assign(weights[name])
    return Translator(task.form, network, corpus.subwords)(corpus.encoded('test')[0])


def test_bleu_is_measured_at_the_end(done, texts):
    rows = from_csv(storage.read_text(done.path(TICKET, 'metrics.csv')))
    assert [sorted(row) for row in rows] == [
        *[['step', 'test_loss', 'train_loss', 'validation_loss']] * 2,
        ['step', 'test_bleu', 'test_loss', 'train_loss', 'validation_bleu', 'validation_loss']]
    assert 0 < rows[-1]['test_bleu'] < 100
    assert rows[-1]['test_bleu'] == bleu(translated(done, texts), done.protocol.task.corpus(texts).text['test'][1])


def test_the_report_says_how_bleu_was_computed(done):
    page = storage.read_text(report.write(done.workdir, report.find(done.workdir)))
    assert 'BLEU is of greedy translations, nrefs:1|' in page
    table = results.table(next(iter(results.summaries(results.load_results(done.workdir)).values())))
    assert table.startswith('Early-stop step and test loss there, test BLEU and test loss at the end')


def test_subwords_are_kept_and_other_text_is_refused(done, texts):
    stored = runs.read_config(done.workdir)
    assert set(stored['files']) == {SUBWORDS}
    kept = storage.read_bytes(storage.join(done.workdir, SUBWORDS))
    assert kept == done.protocol.task.corpus(texts).model
    # A second job changes nothing, and leaves what is known.
    assert not runs.claim(done.workdir, done.protocol, 'another')
    runs.keep_files(done.workdir, {SUBWORDS: kept})
    assert runs.read_config(done.workdir) == stored
    with pytest.raises(UsageError, match=rf'was begun with another {SUBWORDS}'):
        runs.keep_files(done.workdir, {SUBWORDS: b'of other text'})


def test_an_export_translates_as_the_network_does(done, texts):
    (summary,) = results.summaries(results.load_results(done.workdir)).values()
    folder = export.export_run(done.workdir, runs.read_config(done.workdir), TICKET, summary, data_dir=texts,
                               options=export.Options(('saved_model', 'ticket')))
    subwords = SubWords(storage.read_bytes(storage.join(folder, SUBWORDS)))
    serve = tf.saved_model.load(folder).signatures['serving_default']
    corpus = done.protocol.task.corpus(texts)
    encoded = subwords.encode(corpus.text['test'][0])
    assert serve(source=encoded[0][None])['translation'].shape == (1, len(encoded[0]) + 50)
    said = serve(source=np.stack([np.pad(row, (0, 40 - len(row))) for row in encoded]))['translation'].numpy()
    assert subwords.decode(said) == translated(done, texts)
    about = storage.read_json(storage.join(folder, 'ticket.json'))
    assert about['test_bleu'] == from_csv(storage.read_text(done.path(TICKET, 'metrics.csv')))[-1]['test_bleu']
