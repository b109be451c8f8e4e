"""Translation as a task: what is fed, minimised and judged."""

import math
import types

import fake_pairs
import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from tf_lottery.errors import UsageError
from tf_lottery.experiment import config, plan
from tf_lottery.tasks import translator
from tf_lottery.tasks.translation import TranslationTask
from tf_lottery.training.trainer import Seeds

SETTINGS = types.SimpleNamespace(batch_size=16, jit=False)
SEEDS = Seeds(0, 1, 2)


@pytest.fixture(scope='module')
def task(texts):
    return TranslationTask(fake_pairs.settings(), texts)


@pytest.fixture(scope='module')
def feed(task, texts):
    return task.feed(SETTINGS, tf.distribute.get_strategy(), texts)


def says(logits):
    """A network that says the same whatever it is given."""
    return lambda inputs, training: tf.tile(tf.constant([logits], tf.float32), [len(inputs[0]), 1, 1])


def batch(target):
    target = tf.constant(target)
    return {'source': target, 'target': target, 'step': tf.constant(0), 'row': tf.range(len(target))}


@pytest.mark.parametrize(('smoothing', 'said', 'other'), [(0.0, 1, 0), (0.4, 0.7, 0.1)])
def test_the_loss_ignores_padding(texts, smoothing, said, other):
    own = TranslationTask(fake_pairs.settings(training__label_smoothing=smoothing), texts)
    # Four sub-words, of which the third has a logit of 1 where it is to be said, and the last place is padding.
    network = says([[0, 0, 1, 0], [0, 0, 1, 0], [9, 8, 7, 6]])
    loss, minimised = own.loss(network, batch([[3, 2, 0]]), tf.constant(0))
    norm = math.log(math.e + 3)
    expected = (norm - other * 1) / 2 + (norm - said * 1) / 2
    assert float(loss) == float(minimised) == pytest.approx(expected, rel=1e-6)


def test_the_judge_counts_every_subword_once(task):
    judge = task.judge()
    network = says([[0, 0, 1, 0], [0, 0, 1, 0]])
    sums = judge.start()
    for target in ([[2, 0]], [[2, 2], [0, 0]]):
        sums = judge.add(network, batch(target), sums)
    assert judge.finish(sums) == {'loss': pytest.approx(math.log(math.e + 3) - 1)}


def test_bleu_by_hand():
    """Papineni et al. 2002: three of four unigrams, one of three bigrams, and so on; the shorter is punished."""
    references = ['the cat sat on the mat today']
    assert translator.bleu(references, references) == pytest.approx(100)
    # 6/6, 5/5, 4/4, 3/3 and a brevity penalty of exp(1 - 7/6).
    assert translator.bleu(['the cat sat on the mat'], references) == pytest.approx(100 * math.exp(1 - 7 / 6))
    # 6/7, 4/6, 3/5, 2/4.
    assert translator.bleu(['the cat sat on a mat today'], references) == pytest.approx(
        100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4)**0.25)


def test_the_signature_is_sacrebleus_own():
    metric = sacrebleu.BLEU()
    metric.corpus_score(['a'], [['a']])
    assert translator.signature() == str(metric.get_signature())


def test_batches_are_a_function_of_seed_and_step(feed):
    def taken(start, end):
        return [{name: array.tolist() for name, array in element.items()}
                for element in feed.training(SEEDS, [start, end], 0).as_numpy_iterator()]

    whole = taken(0, 14)
    # Of two epochs of six, and from the middle of one.
    assert feed.steps_per_epoch == 6
    assert taken(4, 9) == whole[4:9]
    assert [element['step'][0] for element in whole] == list(range(14))
    assert whole[0]['target'] != whole[6]['target']
    for element in whole:
        assert set(element['tokens']) == {np.count_nonzero(element['target'])}
        assert element['row'] == list(range(len(element['target'])))


def test_two_replicas_share_the_rows_of_a_batch(task, texts):
    settings = types.SimpleNamespace(batch_size=32, jit=False)
    context = types.SimpleNamespace(input_pipeline_id=0, num_input_pipelines=1)
    two = types.SimpleNamespace(num_replicas_in_sync=2, distribute_datasets_from_function=lambda make: make(context))
    whole, halves = (list(task.feed(settings, strategy, texts).training(SEEDS, [0, 3], 0).as_numpy_iterator())
                     for strategy in (tf.distribute.get_strategy(), two))
    assert len(halves) == 2 * len(whole) == 6
    for element, *parts in zip(whole, halves[::2], halves[1::2], strict=True):
        for name, array in element.items():
            assert np.array_equal(np.concatenate([part[name] for part in parts]), array)


def test_replicas_count_the_subwords_of_the_whole_batch(task, monkeypatch):
    network = task.network(0)
    target = tf.constant([[3, 4, 5, 6, 2], [3, 2, 0, 0, 0], [6, 5, 2, 0, 0], [2, 0, 0, 0, 0]])
    whole = {'source': target[::-1], 'target': target, 'row': tf.range(4), 'tokens': tf.fill([4], 11.0)}

    def loss(rows):
        own = {name: array[rows] for name, array in whole.items()}
        return float(task.loss(network, {**own, 'step': tf.constant(3)}, tf.constant(0))[1])

    expected = loss(slice(None))
    monkeypatch.setattr(type(tf.distribute.get_strategy()), 'num_replicas_in_sync', 2)
    # Seven sub-words on one replica and four on the other, which drop the units of their rows: the mean is the loss.
    assert (loss(slice(2)) + loss(slice(2, 4))) / 2 == pytest.approx(expected, rel=1e-6)


def test_facts_are_those_of_the_text_and_of_the_network(task):
    facts = task.facts()
    assert (facts.about, facts.train, facts.validation, facts.test) == (
        'a transformer on numbers de-en', 96, 24, 16)
    assert facts.weights['embedding/embedding'].shape == (40, 8)
    assert len(facts.weights) == 1 + 4 + 8 + 2 * 2
    assert set(facts.weights) < set(task.facts('all').weights)


def test_a_plan_says_what_translating_takes(texts, tmp_path):
    protocol = config.check(fake_pairs.settings(translation__beam=4), texts)
    # Forty sentences, of which each takes as long as three examples, and four times that by a beam of four.
    described = plan.describe(str(tmp_path / 'none'), protocol)
    assert 'to close    each training, as long as 480 examples take in it' in described


def test_embeddings_may_stay_dense(texts):
    own = TranslationTask(fake_pairs.settings(translation__prune_embeddings=False), texts)
    assert own.skip == ('embedding',)
    assert set(TranslationTask(fake_pairs.settings(), texts).facts().weights) - set(own.facts().weights) == {
        'embedding/embedding'}


def test_bleu_leads_and_is_known_at_the_end_only(task):
    measures = task.measures
    assert measures.columns == ('early_stop_step', 'final_test_bleu', 'early_stop_test_loss', 'final_test_loss')
    assert (measures.lead.name, measures.on_the_way.name) == ('bleu', 'loss')
    assert measures.lead.how == f'of greedy translations, {translator.signature()}'


@pytest.mark.parametrize(('changes', 'said'), [
    ({'translation__heads': 3}, 'give an even width that the heads divide'),
    ({'translation__target': 'de'}, 'give two languages'),
    ({'training__optimizer': 'own', 'training__learning_rate': 0.0012}, "training.optimizer is 'own'"),
    ({'data__name': 'cifar10'}, 'which is for image classification'),
    ({'training__average': 4}, 'training.average is 4, and there are 2 evaluations after step 1')])
def test_what_cannot_be_is_refused(texts, changes, said):
    with pytest.raises(UsageError, match=said):
        config.check(fake_pairs.settings(**changes), texts)


def test_replicas_take_whole_rows(task, texts):
    several = types.SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(UsageError, match='batch_size is 16, whose sixteenth does not divide among 2 replicas'):
        task.feed(SETTINGS, several, texts)
