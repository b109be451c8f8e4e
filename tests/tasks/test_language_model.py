"""Language modelling as a task: what is read at which step, minimised and judged, by hand-made cases."""

import itertools
import math
import types

import fake_texts
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery import tasks
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config as configs
from tf_lottery.tasks import text_feed
from tf_lottery.tasks.language_model import LanguageModel
from tf_lottery.tasks.perplexity import Judge, surprises
from tf_lottery.training import trainer

SETTINGS = types.SimpleNamespace(batch_size=4, block=2, evaluate_every=2, jit=False)
SEEDS = trainer.Seeds(1, 2, 3)


@pytest.fixture
def task(texts):
    return LanguageModel(fake_texts.settings(), texts)


def alike(text):
    """The words of a text as a ring, from any place."""
    return np.concatenate([text.train, text.train])


def test_each_row_reads_on_where_it_was_and_foretells_the_next_word(task):
    feed = task.feed(SETTINGS, tf.distribute.get_strategy())
    text, words = task._text, []
    assert feed.steps_per_epoch == len(text.train) // 4 // 5
    assert feed.examples == 4 * feed.steps_per_epoch == task.facts().train
    for block in feed.training(SEEDS, list(range(0, feed.steps_per_epoch + 1, 2)), 0):
        for number in range(int(block['steps'])):
            element = {'indices': block['indices'][number], 'step': block['first_step'] + number, 'row': tf.range(4)}
            words.append(feed.batch(element, None)['words'].numpy())
    for row in range(4):
        # Each window begins with the last word of the one before.
        assert all(left[row, -1] == right[row, 0] for left, right in itertools.pairwise(words))
        stretch = np.concatenate([words[0][row], *(window[row, 1:] for window in words[1:])])
        ring = alike(text)
        assert any(np.array_equal(ring[place:place + len(stretch)], stretch) for place in range(len(text.train)))


def test_states_are_carried_and_begin_anew_in_every_epoch(task):
    feed = task.feed(SETTINGS, tf.distribute.get_strategy())
    element = {'indices': tf.range(4), 'row': tf.range(4), 'step': tf.constant(feed.steps_per_epoch - 1)}
    after = [np.full((4, 6), number + 1, np.float32) for number in range(4)]
    feed.batch(element, None)['carry'](after)
    assert list(feed.state) == ['hidden1', 'cell1', 'hidden2', 'cell2']
    found = feed.batch(element, None)['states']
    assert all(np.array_equal(*pair) for pair in zip(found, after, strict=True))
    found = feed.batch({**element, 'step': tf.constant(2 * feed.steps_per_epoch)}, None)['states']
    assert not np.any(found)


def test_loss_is_the_mean_surprise_and_carries_the_states():
    scores = tf.math.log(tf.constant([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]]))
    assert surprises(scores, tf.constant([[1, -1]])).numpy() == pytest.approx(np.array([[math.log(4), 0]]))
    told, given = [], []

    def network(inputs, training):
        given.extend(inputs)
        return [scores, 'hidden', 'cell']

    batch = {'words': tf.constant([[2, 1, 1]]), 'states': ['before'], 'carry': told.extend, 'step': tf.constant(0),
             'row': tf.constant([0])}
    loss, minimised = LanguageModel(fake_texts.settings()).loss(network, batch, tf.constant(0))
    assert float(loss) == float(minimised) == pytest.approx((math.log(4) - math.log(0.8)) / 2)
    assert given[0].numpy().tolist() == [[2, 1]]
    assert given[1:] == ['before']
    assert told == ['hidden', 'cell']


def test_perplexity_is_of_the_mean_over_words():
    judge = Judge(lambda batch: batch['words'][:, :-1])

    def network(inputs, training):
        return [tf.math.log(tf.constant([[[0.5, 0.5], [0.25, 0.75]]]))]

    sums = judge.add(network, {'words': tf.constant([[0, 1, 0]])}, judge.start())
    sums = judge.add(network, {'words': tf.constant([[0, 0, -1]])}, sums)
    # ln 2, ln 4 and ln 2: three words.
    assert judge.finish(sums) == pytest.approx(
        {'loss': 4 / 3 * math.log(2), 'log_perplexity': 4 / 3 * math.log(2), 'perplexity': 2**(4 / 3)})


def test_perplexity_of_a_network_that_is_lost_is_a_number():
    assert math.isfinite(Judge(None).finish((1e9, 2))['perplexity'])


def test_text_is_cut_into_rows_at_the_ends_of_sentences(monkeypatch):
    monkeypatch.setattr(text_feed, '_ROWS', 3)
    words = np.array([1, 2, 0, 3, 0, 4, 5, 6, 7, 0, 8, 0], np.int32)
    assert text_feed.side_by_side(words, 0).tolist() == [[1, 2, 0, 3, 0], [4, 5, 6, 7, 0], [8, 0, -1, -1, -1]]
    # One sentence is one row, and an end that is not written none.
    assert text_feed.side_by_side(np.arange(1, 8), 0).tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert text_feed.side_by_side(np.array([1, 0, 2]), 0).tolist() == [[1, 0], [2, -1]]


@pytest.mark.parametrize('jit', [False, True])
def test_every_word_counts_once_with_all_that_stands_before_it_in_its_row(task, jit):
    network = task.network(3)
    feed = task.feed(types.SimpleNamespace(**{**vars(SETTINGS), 'jit': jit}), tf.distribute.get_strategy())
    found = feed.evaluators(network)['test']()
    text, total = task._text, 0.0
    for row in text_feed.side_by_side(text.test, text.end):
        words = np.concatenate([[text.end], row[row >= 0]])
        scores, *_ = network(task.inputs({'words': tf.constant(words[None], tf.int32)}))
        logs = tf.nn.log_softmax(scores[0]).numpy()
        total -= logs[np.arange(len(words) - 1), words[1:]].sum()
    assert found['log_perplexity'] == pytest.approx(total / len(text.test), rel=1e-6)


def test_facts_need_no_text_that_is_published(tmp_path):
    task = LanguageModel(fake_texts.settings(language_model__data='ptb', training__batch_size=30,
                                             language_model__steps=50), str(tmp_path))
    facts = task.facts()
    assert (facts.about, facts.train) == ('an LSTM of 2 x 6 on ptb', 30 * 619)
    assert (facts.validation, facts.test) == (math.ceil(73_760 / 50), math.ceil(82_430 / 50))
    assert facts.weights['output/kernel'].shape == (6, 10_000)
    assert facts.weights['embedding/embeddings'].places == 0
    assert set(task.facts('all').weights) - set(facts.weights) == {'lstm1/bias', 'lstm2/bias', 'output/bias'}


def test_fingerprint_and_facts_tell_texts_apart(task, texts, tmp_path):
    fake_texts.write(tmp_path / 'tiny', (60, 12, 15))
    path = tmp_path / 'tiny' / 'test.txt'
    path.write_text(path.read_text().replace('w1 ', 'w2 ', 1))
    other = LanguageModel(fake_texts.settings(), str(tmp_path))
    assert task.facts() == other.facts()
    assert not task.facts().are_of(other.facts())
    strategy = tf.distribute.get_strategy()
    assert task.feed(SETTINGS, strategy).fingerprint() != other.feed(SETTINGS, strategy).fingerprint()


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'language_model__tied': True, 'language_model__embedding': 5},
     'language_model.embedding is 5, and language_model.units is 6: leave one of them out, for with '
     'language_model.tied they are the same.'),
    ({'language_model__dropout': 0.0, 'language_model__dropout_place': 'around'},
     "language_model.dropout_place is 'around', and nothing is dropped: leave it out, or give language_model.dropout."),
    ({'training__batch_size': 300},
     'training.batch_size is 300 and language_model.steps 5, and tiny has 337 words to train on, fewer than a step '
     'takes: give fewer of them.'),
    ({'training__optimizer': 'own', 'training__learning_rate': 1.2e-3, 'training__clip_norm': 1.0},
     "training.clip_norm is 1.0, which training.optimizer='own' does not read"),
    ({'training__optimizer': 'own', 'training__learning_rate': 1.2e-3},
     "training.optimizer is 'own', the one that a model of your own was compiled with: "
     'give another, or a task of your own.'),
    ({'pruning__structure': 'channels', 'pruning__variables': 'kernels', 'pruning__scope': 'layerwise'}, 'channels'),
    ({'data__flip': True}, "data.flip is True, which is for image classification: leave it out, or leave out "
     "task='language_model'.")])
def test_refused(texts, changes, sentence):
    with pytest.raises(UsageError) as error:
        configs.check(fake_texts.settings(**changes), texts)
    assert sentence in str(error.value)


def test_kind_is_chosen_by_its_name(texts):
    config = fake_texts.settings()
    assert isinstance(tasks.find(config, texts), LanguageModel)
    assert configs.check(config, texts).end_step == 2 * (337 // 4 // 5)
