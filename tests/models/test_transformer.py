"""The Transformer: what it is made of, what it attends to, one mask of the tied embeddings, and how it translates."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.models import decoding, transformer
from tf_lottery.models.attention import DotProductAttention, Positions
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask

FORM = transformer.Form(vocabulary=7, layers=2, width=8, heads=2, feed_forward=12, dropout=0.0)
SOURCE = np.array([[5, 3, 4, 2, 0], [4, 6, 3, 5, 2], [3, 6, 5, 2, 0]], np.int32)
# Where they are translated, so many sub-words less than they have.
LIMITS = (2, 3, 2)
TARGET = np.array([[1, 4, 5, 3], [1, 3, 6, 6], [1, 6, 4, 5]], np.int32)


@pytest.fixture(scope='module', params=transformer.NORMS)
def network(request):
    form = dataclasses.replace(FORM, norm=request.param)
    model = transformer.build(form, 0)
    for variable in model.trainable_variables:
        # So that what it says is no matter of chance in the last digit.
        variable.assign(2 * variable)
    return form, model


def test_its_variables_are_known_without_building_it(network):
    form, model = network
    known = transformer.shapes(form, 3, 4)
    assert {name: shape for name, (_, shape, _) in known.items()} == {
        name: tuple(variable.shape) for name, variable in wrapper.variables(model).items()}
    assert set(wrapper.prunable_variables(wrapper.prunable(model))) == {
        name for name, (_, shape, _) in known.items() if len(shape) > 1}
    assert known['decoder_0_source_key/kernel'] == ('dense', (8, 8), 3)
    assert known['decoder_0_source_query/kernel'] == ('dense', (8, 8), 4)


def test_base_and_big_have_the_weights_of_the_paper():
    """1706.03762, Table 3: 65 and 213 million, with a vocabulary of 37,000."""
    def size(form):
        return sum(np.prod(shape) for _, shape, _ in transformer.shapes(form, 1, 1).values()) / 1e6

    assert size(transformer.Form(37_000)) == pytest.approx(65, rel=0.05)
    assert size(transformer.Form(37_000, width=1024, heads=16, feed_forward=4096)) == pytest.approx(213, rel=0.02)


def test_logits_in_bfloat16_are_near_those_in_float32(network):
    form, model = network
    low = transformer.build(form, 0, 'mixed_bfloat16')
    low.set_weights(model.get_weights())
    expected, found = (each([SOURCE, TARGET]) for each in (model, low))
    assert found.dtype == tf.float32
    # Eight bits of a number are kept: 1 part in 256.
    assert 1e-4 < np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.1


def test_padding_is_never_attended_to(network):
    _, model = network
    whole = model([SOURCE, TARGET]).numpy()
    for row, length in enumerate(np.count_nonzero(SOURCE, 1)):
        alone = model([SOURCE[row:row + 1, :length], TARGET[row:row + 1]]).numpy()
        assert whole[row] == pytest.approx(alone[0], abs=1e-4)


def test_what_comes_later_is_never_attended_to(network):
    _, model = network
    other = TARGET.copy()
    other[:, 2:] = 3
    assert np.array_equal(model([SOURCE, TARGET]).numpy()[:, :2], model([SOURCE, other]).numpy()[:, :2])
    assert not np.allclose(model([SOURCE, TARGET]).numpy()[:, 2], model([SOURCE, other]).numpy()[:, 2])


def test_attention_by_hand():
    values = np.array([[[1., 2.], [3., 5.], [100., 100.]]], np.float32)
    queries, keys = np.array([[[1., 0.]]], np.float32), np.array([[[1., 9.], [0., 9.], [7., 7.]]], np.float32)
    found = DotProductAttention(2)([queries, keys, values, np.array([True, True, False])])
    # Two heads of a unit each: the first one scores 1 and 0, the second one 0 and 0.
    share = np.e / (np.e + 1)
    assert found.numpy().tolist() == [[pytest.approx([share * 1 + (1 - share) * 3, 3.5])]]


def test_positions_are_waves():
    waves = Positions()(np.zeros((1, 3, 4), np.float32)).numpy()[0]
    assert waves[2] == pytest.approx([np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)], abs=1e-6)
    assert Positions()(np.ones((1, 1, 4), np.float32), first=2).numpy()[0, 0] == pytest.approx(2 + waves[2], abs=1e-6)


def test_tied_embeddings_have_one_mask_wherever_they_are_used():
    pruned = wrapper.prunable(transformer.build(FORM, 0))
    kept = np.random.default_rng(0).random((7, 8)) < 0.5
    wrapper.set_mask(pruned, Mask({**wrapper.get_mask(pruned), 'embedding/embedding': kept}),
                     optimizer=tf_keras.optimizers.Adam())
    for holder in wrapper.wrappers(pruned).values():
        holder.zeros_held = True
    dense, (embedding,) = transformer.build(FORM, 0), [
        variable for variable in pruned.trainable_variables if 'embedding' in variable.name]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(pruned([SOURCE, TARGET])))
    (gradient,) = tape.gradient(loss, [embedding])
    tf_keras.optimizers.Adam(0.1).apply_gradients([(gradient, embedding)])
    assert np.all((embedding.numpy() != 0) == kept)
    # The same numbers in a network without a mask compute the same, so that no use of the matrix went around it.
    for name, variable in wrapper.variables(dense).items():
        variable.assign(wrapper.get_weights(pruned)[name])
    assert np.allclose(dense([SOURCE, TARGET]), pruned([SOURCE, TARGET]), atol=1e-5)


def chances(model, source, said):
    """The log-probabilities of what comes at each place of sentences [n, length], but for PADDING and BEGIN."""
    before = np.concatenate([np.full((len(said), 1), decoding.BEGIN), said[:, :-1]], 1)
    logits = model([np.tile(source, (len(said), 1)), before])
    return np.where(np.arange(7) < 2, -np.inf, tf.nn.log_softmax(logits))


@pytest.fixture(scope='module')
def short():
    """Translations of at most LIMITS sub-words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, 'LONGER', -2)
        yield


def searched(form, model, beam):
    tokens, scores = tf.function(decoding.search(form, model, beam))(SOURCE)
    return tokens.numpy(), scores.numpy()


def test_greedy_search_says_the_likeliest_at_every_turn(network, short):
    form, model = network
    tokens, scores = searched(form, model, 1)
    for source, found, score, limit in zip(SOURCE, tokens, scores, LIMITS, strict=True):
        likely = chances(model, source, found[None])[0]
        said = found[:limit if decoding.END not in found else list(found).index(decoding.END) + 1]
        assert said.tolist() == likely.argmax(-1)[:len(said)].tolist()
        assert score == pytest.approx(likely.max(-1)[:len(said)].sum(), abs=1e-4)
        assert not found[len(said):].any()


def test_a_beam_of_all_hypotheses_finds_the_best_by_length(network, short):
    form, model = network
    tokens, scores = searched(form, model, 125)
    for source, found, score, limit in zip(SOURCE, tokens, scores, LIMITS, strict=True):
        said = np.array(list(itertools.product(range(2, 7), repeat=limit)))
        # What comes after the end is not said.
        ends = np.argmax(said == decoding.END, 1)
        lengths = np.where((said == decoding.END).any(1), ends + 1, limit)
        each = np.take_along_axis(chances(model, source, said), said[..., None], -1)[..., 0]
        total = np.where(np.arange(limit) < lengths[:, None], each, 0).sum(1)
        best = np.argmax(total / ((5 + lengths) / 6)**0.6)
        assert found.tolist() == [*said[best][:lengths[best]], *[0] * (3 - lengths[best])]
        assert score == pytest.approx(total[best], abs=1e-4)


def test_rows_that_fill_up_a_batch_end_at_once(network):
    form, model = network
    tokens, _ = tf.function(decoding.search(form, model))(np.zeros((2, 3), np.int32))
    assert not tokens.numpy().any()
