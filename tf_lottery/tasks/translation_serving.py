"""How a translator is served: numbers of sub-words in and out, and the model that makes them of text beside it."""

import functools

import tensorflow as tf

from tf_lottery.data import buckets
from tf_lottery.data.subwords import BEGIN, SUBWORDS
from tf_lottery.models import decoding
from tf_lottery.tasks.task import CALIBRATION, Serving, Signature, Words
from tf_lottery.tasks.translator import bleu

# Test pairs that the network itself is verified on, whose outputs are as wide as the vocabulary.
_SERVED = 100


def serving(form, corpus, settings):
    """How a translator is served, verified on the test set.

    The network takes a source and what has been said, and returns the logits of what comes next. `serving_default`
    takes a source and returns its translation.

    Args:
      form: transformer.Form.
      corpus: tasks.corpus.Corpus.
      settings: a config's `translation`.

    Returns:
      Serving.
    """
    source, target = corpus.encoded('test')
    train = tuple(sentences[:CALIBRATION] for sentences in corpus.encoded('train'))
    how = 'greedily' if settings.beam == 1 else f'by a beam of {settings.beam}'
    default = Signature(
        functools.partial(_serve, form, settings.beam), {'source': _padded(source)},
        alone=functools.partial(_translated, form, settings.beam, _padded(source)),
        score=lambda said: bleu(corpus.subwords.decode(said['translation']), corpus.text['test'][1]))
    return Serving(
        _inputs(source[:_SERVED], target[:_SERVED]), _inputs(*train), signatures={'serving_default': default},
        described={'input': 'source: int32 [n, any], sub-words that end in 2 and then in 0',
                   'output': f'translation: int32 [n, any], sub-words that end in 2 and then in 0, said {how}; score: '
                             'float32 [n], its log-probability'},
        files={SUBWORDS: corpus.model},
        words=Words('sentences', f'Text: `{settings.data}`, from `{settings.source}` to `{settings.target}`.',
                    f'Text is not a part of the model: `{SUBWORDS}` beside it makes sub-words of it by '
                    f"`sentencepiece.SentencePieceProcessor(model_file='{SUBWORDS}')`, whose `encode(text, "
                    'add_eos=True)` are those of the source, and `decode` text of those before the first 2.',
                    limits=f'It knows sentences like those of `{settings.data}`, and no others. The dense SavedModel '
                           'beside it, which has random numbers in the place of zeros, says longer sentences, so that '
                           'their latencies are of different work.'))


def _padded(sentences):
    return buckets.pad(sentences, max(map(len, sentences)))


def _inputs(source, target):
    """What the network takes of pairs: the source, and what was said before each sub-word of the target."""
    return {'source': _padded(source), 'target': _padded([[BEGIN, *said[:-1]] for said in target])}


def _serve(form, beam, network):
    translate = decoding.search(form, network, beam)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name='source')])
    def default(source):
        translation, score = translate(source)
        return {'translation': translation, 'score': score}

    return default


def _translated(form, beam, source, network):
    return {name: tensor.numpy() for name, tensor in _serve(form, beam, network)(source).items()}
