"""The text that a translator is trained on, in sub-words."""

import functools

from tf_lottery.data import subwords, text_pairs


class Corpus:
    """Pairs of sentences and the sub-words that were learned from those of the training split.

    Args:
      settings: a config's `translation`.
      data_dir: the folder of data sets.

    Attributes:
      text: {'train', 'validation' and 'test': (source, target)}, lists of str.

    Raises:
      UsageError: as of `text_pairs.load` and `subwords.learn`.
    """

    def __init__(self, settings, data_dir=None):
        self.text = text_pairs.load(settings.data, (settings.source, settings.target), data_dir)
        self._size = settings.vocabulary

    @functools.cached_property
    def model(self):
        """bytes, SentencePiece's model."""
        source, target = self.text['train']
        return subwords.learn([*source, *target], self._size)

    @functools.cached_property
    def subwords(self):
        return subwords.SubWords(self.model)

    def encoded(self, split, longest=None):
        """The pairs of a split, of no more than `longest` sub-words each: (source, target), lists of int32 arrays."""
        pairs = zip(*map(self.subwords.encode, self.text[split]), strict=True)
        return tuple(map(list, zip(*(
            (source, target) for source, target in pairs
            if longest is None or max(len(source), len(target)) <= longest), strict=True))) or ([], [])
