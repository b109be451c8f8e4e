"""Sub-words by byte-pair encoding (Sennrich et al. 2016, 1508.07909), as SentencePiece learns it (1808.06226)."""

import io

import numpy as np
import sentencepiece

from tf_lottery.errors import UsageError, in_one_line

# The numbers of what is no text; attention.PADDING is the first.
PADDING, BEGIN, END, UNKNOWN = range(4)

# The file that a model is kept in, in the folder of an experiment and in that of an export.
SUBWORDS = 'subwords.model'

# Sentences that are learned from, at most: of more, these many at random, always the same.
_SENTENCES = 1_000_000


def learn(sentences, size):
    """Learns one vocabulary for both languages.

    Args:
      sentences: iterable of str.
      size: int, the number of sub-words, those that are no text among them.

    Returns:
      bytes, a model of SentencePiece's, a function of the arguments.

    Raises:
      UsageError: the text has fewer sub-words, or more letters.
    """
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(0)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, vocab_size=size, model_type='bpe',
            character_coverage=1.0, pad_id=PADDING, bos_id=BEGIN, eos_id=END, unk_id=UNKNOWN,
            input_sentence_size=_SENTENCES, shuffle_input_sentence=True,
            # Both are a part of what is written.
            num_threads=1, minloglevel=2)
    except RuntimeError as error:
        raise UsageError(f'translation.vocabulary is {size}, of which no sub-words come of this text '
                         f'({in_one_line(error)}): give another number.') from error
    return model.getvalue()


class SubWords:
    """Text as numbers and back.

    Args:
      model: bytes, as of `learn`.
    """

    def __init__(self, model):
        self._model = sentencepiece.SentencePieceProcessor(model_proto=model)

    def encode(self, sentences):
        """Returns a list of int32 arrays, the sub-words of each sentence and END."""
        return [np.array([*numbers, END], np.int32) for numbers in self._model.encode(list(sentences))]

    def decode(self, rows):
        """Returns a list of str, of rows of numbers up to the first END, PADDING left out."""
        return self._model.decode([_text(row) for row in rows])


def _text(row):
    """The numbers of a row that are text: list of int."""
    row = np.asarray(row)
    ends = np.flatnonzero(row == END)
    row = row[:ends[0]] if len(ends) else row
    return row[row > END].tolist()
