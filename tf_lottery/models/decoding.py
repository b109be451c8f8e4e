"""Translation by a Transformer: greedy, or by a beam, with the keys and values of what was said before in a cache."""

import tensorflow as tf

from tf_lottery.models import transformer
from tf_lottery.models.attention import PADDING

# What a sentence begins with and ends in, the numbers after PADDING.
BEGIN, END = 1, 2

# Sub-words that a translation may be longer than its source (1706.03762, section 6.1).
LONGER = 50
# The exponent of the length penalty (1706.03762, section 6.1).
_ALPHA = 0.6

# The log-probability of what cannot be.
_NEVER = -1e9


def search(form, network, beam=1):
    """How a network translates: a function to be a part of a compiled program.

    The sentences of a batch are said at the same time, a sub-word of each at every turn, until all have ended. The
    decoder sees the last sub-word only; keys and values of those before stay in a cache of static shape. Of the
    continuations of all hypotheses of a sentence the `beam` best stay, by

        log P(said | source) / ((5 + length) / 6)^0.6                               (1609.08144, equation 14)

    Args:
      form: transformer.Form.
      network: what `transformer.build` returned, wrapped or not.
      beam: int, hypotheses that are kept of a sentence; 1 is greedy.

    Returns:
      Function from `source` int32 [n, sources], as the network takes it, to (tokens int32 [n, sources + LONGER], score
      float32 [n]): the best hypothesis, which ends in END and then in PADDING, and the log-probability of it. One that
      is LONGER than its source has no END.
    """
    parts = transformer.parts(form, network)

    def translate(source):
        memory, seen_source = parts.encode(source)
        sentences, longest = tf.shape(source)[0], tf.shape(source)[1] + LONGER
        rows = sentences * beam
        # A sentence's own, so that what stands beside it in a batch changes nothing; what fills up a batch is none.
        length = tf.math.count_nonzero(source != PADDING, 1, True, tf.int32)
        limit = tf.where(length > 0, length + LONGER, 0)
        memory, seen_source = tf.repeat(memory, beam, 0), tf.repeat(seen_source, beam, 0)
        remembered, places = parts.remembered(memory), tf.range(longest)
        empty = tf.zeros([rows, longest, form.width], memory.dtype)
        # One hypothesis at first, for the others would be the same.
        first = tf.one_hot(tf.zeros([sentences], tf.int32), beam, 0.0, _NEVER)
        start = (tf.constant(0), tf.fill([rows], BEGIN), tf.fill([rows, longest], PADDING), first,
                 tf.zeros([sentences, beam], tf.int32), tf.repeat(limit <= 0, beam, 1),
                 [(empty, empty)] * form.layers)

        def going_on(place, last, tokens, scores, lengths, ended, past):
            return (place < longest) & ~tf.reduce_all(ended)

        def turn(place, last, tokens, scores, lengths, ended, past):
            here, extended = (places == place)[None, :, None], []

            def cached(number, said):
                extended.append(tuple(tf.where(here, new, old) for new, old in zip(said, past[number], strict=True)))
                return extended[-1]

            logits = parts.decode(last[:, None], (places <= place)[None, None, None], remembered, seen_source, place,
                                  cached)
            chances = _chances(tf.reshape(tf.nn.log_softmax(logits[:, 0]), [sentences, beam, form.vocabulary]), ended)
            lengths += tf.cast(~ended, tf.int32)
            whole = scores[..., None] + chances
            ranked = tf.reshape(whole / _penalty(lengths)[..., None], [sentences, beam * form.vocabulary])
            chosen = tf.math.top_k(ranked, beam).indices
            scores = tf.gather(tf.reshape(whole, tf.shape(ranked)), chosen, batch_dims=1)
            before, last = chosen // form.vocabulary, chosen % form.vocabulary

            def kept(each):
                return tf.gather(each, before, batch_dims=1)

            lengths, ended = kept(lengths), kept(ended) | (last == END) | (place + 1 >= limit)
            # What a hypothesis goes on from is another one's only where there are several.
            origin = tf.reshape(before + beam * tf.range(sentences)[:, None], [-1])
            last = tf.reshape(last, [-1])
            if beam > 1:
                tokens = tf.gather(tokens, origin)
                extended = [tuple(tf.gather(each, origin) for each in pair) for pair in extended]
            tokens = tf.where(here[..., 0], last[:, None], tokens)
            return place + 1, last, tokens, scores, lengths, ended, extended

        _, _, tokens, scores, *_ = tf.while_loop(going_on, turn, start)
        # The best by length stands first.
        tokens = tf.reshape(tokens, [sentences, beam, longest])[:, 0]
        return tokens, scores[:, 0]

    return translate


def _chances(chances, ended):
    """The log-probabilities of what comes next, float32 [n, beam, vocabulary]: nothing does after the end."""
    number = tf.range(tf.shape(chances)[-1])
    text = tf.where((number == PADDING) | (number == BEGIN), _NEVER, chances)
    return tf.where(ended[..., None], tf.where(number == PADDING, 0.0, _NEVER), text)


def _penalty(lengths):
    return ((5 + tf.cast(lengths, tf.float32)) / 6)**_ALPHA
