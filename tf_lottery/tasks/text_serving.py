"""How a language model is served: numbers of words or text in; how probable it is, and what comes next, out."""

import functools

import numpy as np
import tensorflow as tf

from tf_lottery.data.text import END, UNKNOWN
from tf_lottery.tasks.perplexity import surprises
from tf_lottery.tasks.task import CALIBRATION, Serving, Signature, Words
from tf_lottery.tasks.text_feed import side_by_side, windows

# Windows that forms are compared on have so many scores together, at most: 64 MB.
_SCORES = 2**24


def serving(text, settings, widths):
    """How a language model of a text is served, verified on its test text.

      serving_default  `words` int32 [n, any], their numbers, -1 behind the end of shorter rows;
      serving_text     `text` string [n], words between blanks, a line's end for `<eos>`; words that are not in the
                       vocabulary are `<unk>`,
    each with the outputs `log_probabilities` float32 [n, any], natural ones, of each word after those before it, the
    first one after `<eos>`, 0 where there is none; `next_probabilities` float32 [n, vocabulary], of the word that comes
    then; and `next_word`, the most probable of them: int64 [n], or string [n].

    Args:
      text: data.text.Text.
      settings: a config's `language_model`.
      widths: {name: int}, the states of the network, in the order of its inputs.

    Returns:
      Serving.
    """
    reader = Reader(text, settings.steps, list(widths.values()))
    count = max(1, min(len(text.test) // settings.steps, _SCORES // (settings.steps * len(text.words))))
    test = windows(text.test, settings.steps, np.arange(count))
    train = windows(text.train, settings.steps, np.arange(min(CALIBRATION, len(text.train) // settings.steps)))
    rows = side_by_side(text.test, text.end)

    def score(answers):
        return float(-answers['log_probabilities'].sum() / len(text.test))

    def raw(found):
        return {'words': found[:, :-1], **{name: np.zeros((len(found), width), np.float32)
                                           for name, width in widths.items()}}

    signatures = {
        'serving_default': Signature(
            functools.partial(_of_numbers, reader), {'words': test[:, 1:]},
            alone=lambda network: reader.answers(network, test[:, 1:]), largest={'next_word': 'next_probabilities'}),
        'serving_text': Signature(
            functools.partial(_of_text, reader), {'text': np.array([written(row, text.words) for row in rows])},
            alone=lambda network: reader.answers(network, rows), score=score)}
    outputs = ('log_probabilities: float32 [n, any], natural, of each word after those before it, the first one after '
               f'{END}; next_probabilities: float32 [n, {len(text.words)}], of the word that comes then; next_word: '
               'int64 [n], the most probable')
    return Serving(
        raw(test), raw(train), signatures=signatures,
        described={'input': 'words: int32 [n, any], places in the list `words` of ticket.json, -1 behind the end of '
                   'shorter rows', 'output': outputs, 'words': list(text.words)},
        words=Words('words', f'Data: `{settings.data}`. Network: an LSTM of {settings.layers} x {settings.units}.',
                    f'`serving_text` takes text: words between blanks, a line\'s end for `{END}`; a word that it does '
                    f'not know is `{UNKNOWN}`, and `next_word` is a string. TFLite files take the words of one row '
                    'and the states before them, and return the scores after each and the states after the last.',
                    limits=f'It knows texts like `{settings.data}`, and the {len(text.words):,} words of its '
                    'vocabulary.'))


def written(row, words):
    """A row of `side_by_side` as text."""
    return ' '.join(words[number] for number in row[row >= 0]).replace(END, '\n')


class Reader:
    """Reads texts by a network from left to right, a window at a time.

    Args:
      text: data.text.Text.
      window: int, the words of a row that are looked at together.
      widths: list of int, of the network's states.
    """

    def __init__(self, text, window, widths):
        self.words, self._end, self._window, self._widths = text.words, text.end, window, widths

    def answers(self, network, rows):
        """What a network in memory makes of int32 [n, any]: {name: array}."""
        found = tf.function(functools.partial(self.read, network))(tf.constant(rows))
        return {name: found[name].numpy() for name in ('log_probabilities', 'next_probabilities')}

    def read(self, network, rows):
        """In a program, the outputs of `serving` for int32 [n, any]."""
        window, count = self._window, tf.shape(rows)[0]
        lengths = tf.reduce_sum(tf.cast(rows >= 0, tf.int32), axis=1)
        longest = tf.shape(rows)[1]
        pieces = longest // window + 1
        # The word after the last one is foretold, too.
        padded = tf.pad(rows, [[0, 0], [0, pieces * window - longest]], constant_values=-1)
        padded = tf.concat([tf.fill([count, 1], self._end), padded], axis=1)

        def body(piece, states, found, then):
            part = tf.slice(padded, [0, piece * window], [-1, window + 1])
            part.set_shape([None, window + 1])
            scores, *states = network([tf.maximum(part[:, :-1], 0), *states], training=False)
            place = lengths - piece * window
            here = tf.gather(scores, tf.clip_by_value(place, 0, window - 1), batch_dims=1)
            then = tf.where(((place >= 0) & (place < window))[:, None], here, then)
            return piece + 1, states, found.write(piece, -surprises(scores, part[:, 1:])), then

        states = [tf.zeros([count, width]) for width in self._widths]
        found = tf.TensorArray(tf.float32, pieces, element_shape=[None, window])
        _, _, found, then = tf.while_loop(
            lambda piece, *_: piece < pieces, body, (0, states, found, tf.zeros([count, len(self.words)])))
        surprise = tf.reshape(tf.transpose(found.stack(), [1, 0, 2]), [count, pieces * window])
        return {'log_probabilities': surprise[:, :longest], 'next_probabilities': tf.nn.softmax(then),
                'next_word': tf.argmax(then, axis=-1)}


def _numbers(words):
    """A function from strings to the numbers that they have in a vocabulary, int32, without a table of TensorFlow's.

    A table would have to hang on the network, which no other form of it could then be made of.
    """
    prints = tf.strings.to_hash_bucket_fast(words, 2**62).numpy()
    order = np.argsort(prints).astype(np.int32)
    unknown = words.index(UNKNOWN)

    def numbers(strings):
        place = tf.searchsorted(prints[order], tf.strings.to_hash_bucket_fast(strings, 2**62))
        found = tf.gather(order, tf.minimum(place, len(words) - 1))
        return tf.where(tf.gather(tf.constant(words), found) == strings, found, unknown)

    return numbers


def _of_numbers(reader, network):
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name='words')])
    def numbers(words):
        return reader.read(network, words)

    return numbers


def _of_text(reader, network):
    numbers = _numbers(reader.words)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='text')])
    def strings(text):
        words = tf.strings.split(tf.strings.regex_replace(text, '\n', f' {END} '))
        rows = tf.ragged.map_flat_values(numbers, words).to_tensor(-1)
        found = reader.read(network, rows)
        return {**found, 'next_word': tf.gather(tf.constant(reader.words), found['next_word'])}

    return strings
