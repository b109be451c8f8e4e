"""Text to text: what a trained network is judged by at the end, and what an export says."""

import importlib.metadata

import numpy as np
import tensorflow as tf

from tf_lottery.data import buckets
from tf_lottery.models import decoding

# Sentences that are translated at the same time, and the shapes of such batches, at most.
_ROWS, _SHAPES = 128, 6


class Translator:
    """Translates sentences by a network.

    Args:
      form: transformer.Form.
      network: what `transformer.build` returned, wrapped or not.
      subwords: data.subwords.SubWords.
      beam: int, as of `decoding.search`.
      jit: bool, whether XLA compiles it, once for each shape of a batch.
    """

    def __init__(self, form, network, subwords, beam=1, jit=False):
        self._subwords = subwords
        self._search = tf.function(decoding.search(form, network, beam), jit_compile=jit,
                                   input_signature=[tf.TensorSpec([None, None], tf.int32)])

    def __call__(self, source):
        """Returns the translations, a list of str, of a list of int32 arrays of sub-words that end in END."""
        found = [None] * len(source)
        for pairs, batch in buckets.in_order(source, source, _ROWS, _SHAPES):
            said, _ = self._search(batch['source'])
            for pair, text in zip(pairs, self._subwords.decode(said.numpy()[:len(pairs)]), strict=True):
                found[pair] = text
        return found


def bleu(translations, references):
    """Corpus BLEU of translations, as they are written, in [0, 100].

    Args:
      translations, references: lists of str.

    Source: Papineni et al. 2002, by sacreBLEU (Post 2018, 1804.08771) at its defaults, which `signature` says.
    """
    import sacrebleu

    return float(np.float64(sacrebleu.corpus_bleu(translations, [references]).score))


def signature():
    """str, sacreBLEU's own account of how `bleu` is computed."""
    return f'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{importlib.metadata.version("sacrebleu")}'
