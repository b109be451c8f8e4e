"""LSTM and Transformer in PyTorch, dense: for each line that it reads it trains, and prints the seconds that took.

    python benchmarks/words.py --torch_python=PYTHON
    python benchmarks/translation.py --torch_python=PYTHON

start it with an interpreter that has torch, which is no requirement of tf_lottery: nothing of that is imported here. It
is the bare loop on one core: as many weights, the same batches, dropout, loss and optimizer, nothing else.
"""

import json
import math
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# As in tf_lottery: what fills up a sentence, and what a translation begins with.
PADDING, BEGIN = 0, 1


class LanguageModel(nn.Module):
    """The network of tf_lottery/models/lstm.py.

    Args:
      sizes: dict of `vocabulary`, `units`, `layers`, `dropout`, and `batch`, the rows of one.
    """

    def __init__(self, sizes):
        super().__init__()
        units, shape = sizes['units'], (sizes['layers'], sizes['batch'], sizes['units'])
        self.embedding = nn.Embedding(sizes['vocabulary'], units)
        self.lstm = nn.LSTM(units, units, sizes['layers'], batch_first=True, dropout=sizes['dropout'])
        self.output = nn.Linear(units, sizes['vocabulary'])
        self.state = torch.zeros(shape), torch.zeros(shape)
        for name, variable in self.named_parameters():
            (nn.init.zeros_ if 'bias' in name else lambda kernel: nn.init.uniform_(kernel, -0.1, 0.1))(variable)
            # PyTorch adds two biases to the same gates.
            variable.requires_grad_('bias_hh' not in name)

    def loss(self, words):
        """The mean surprise of `words` int64 [n, steps + 1] but for the first, from where the step before ended."""
        found, state = self.lstm(self.embedding(words[:, :-1]), self.state)
        self.state = tuple(each.detach() for each in state)
        return functional.cross_entropy(self.output(found).flatten(0, 1).float(), words[:, 1:].flatten())


class Attention(nn.Module):
    """Attention by several heads, with the products before and after it."""

    def __init__(self, width, heads):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, inputs, memory, seen=None, causal=False):
        queries, keys, values = (layer(each).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer, each in (
            (self.query, inputs), (self.key, memory), (self.value, memory)))
        found = functional.scaled_dot_product_attention(queries, keys, values, seen, is_causal=causal)
        return self.output(found.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """A layer of the encoder or of the decoder, normalised after each sum."""

    def __init__(self, sizes, attentions):
        super().__init__()
        width = sizes['width']
        self.attentions = nn.ModuleList(Attention(width, sizes['heads']) for _ in range(attentions))
        self.feed_forward = nn.Sequential(nn.Linear(width, sizes['feed_forward']), nn.ReLU(),
                                          nn.Linear(sizes['feed_forward'], width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(attentions + 1))
        self.dropout = nn.Dropout(sizes['dropout'])

    def forward(self, inputs, seen, memory=None):
        own, *source = self.attentions
        found = own(inputs, inputs, causal=True) if source else own(inputs, inputs, seen)
        inputs = self.norms[0](inputs + self.dropout(found))
        for attention in source:
            inputs = self.norms[1](inputs + self.dropout(attention(inputs, memory, seen)))
        return self.norms[-1](inputs + self.dropout(self.feed_forward(inputs)))


class Translator(nn.Module):
    """The network of tf_lottery/models/transformer.py.

    Args:
      sizes: dict of `vocabulary`, `layers`, `width`, `heads`, `feed_forward`, `dropout` and `smoothing`.
    """

    def __init__(self, sizes):
        super().__init__()
        self.width, self.smoothing = sizes['width'], sizes['smoothing']
        self.embedding = nn.Embedding(sizes['vocabulary'], self.width)
        self.dropout = nn.Dropout(sizes['dropout'])
        self.encoder, self.decoder = (nn.ModuleList(Layer(sizes, attentions) for _ in range(sizes['layers']))
                                      for attentions in (1, 2))
        for name, variable in self.named_parameters():
            if variable.ndim > 1:
                nn.init.xavier_uniform_(variable)
            elif 'bias' in name:
                nn.init.zeros_(variable)
        nn.init.normal_(self.embedding.weight, std=self.width**-0.5)

    def embedded(self, sentences):
        place, number = torch.arange(sentences.shape[1])[:, None], torch.arange(0, self.width, 2)
        angle = place * torch.exp(number * (-math.log(10000.0) / self.width))
        waves = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
        return self.dropout(self.embedding(sentences) * math.sqrt(self.width) + waves)

    def loss(self, source, target):
        """The mean cross-entropy of `target` int64 [n, targets] after `source` [n, sources], without padding."""
        seen, memory = (source != PADDING)[:, None, None], self.embedded(source)
        for layer in self.encoder:
            memory = layer(memory, seen)
        found = self.embedded(functional.pad(target[:, :-1], (1, 0), value=BEGIN))
        for layer in self.decoder:
            found = layer(found, seen, memory)
        scores = functional.linear(found, self.embedding.weight)
        return functional.cross_entropy(scores.flatten(0, 1).float(), target.flatten(), ignore_index=PADDING,
                                        label_smoothing=self.smoothing)


KINDS = {'words': LanguageModel, 'translation': Translator}


def trainer(kind, sizes, batches):
    """Returns a function that takes a step on each batch, a tuple of tensors, and returns the last loss."""
    network = KINDS[kind](sizes)
    optimizer = torch.optim.Adam([each for each in network.parameters() if each.requires_grad], sizes['learning_rate'],
                                 eps=1e-7, fused=True)

    def train():
        for batch in batches:
            optimizer.zero_grad()
            with torch.autocast('cpu', torch.bfloat16, enabled=sizes['bfloat16']):
                loss = network.loss(*batch)
            loss.backward()
            optimizer.step()
        return loss.item()

    return train


def main(kind, sizes, path):
    torch.set_num_threads(1)
    with np.load(path) as arrays:
        count = max(int(name.split('_')[1]) for name in arrays) + 1
        names = dict.fromkeys(name.split('_')[0] for name in arrays)
        batches = [tuple(torch.from_numpy(arrays[f'{name}_{number}']).long() for name in names)
                   for number in range(count)]
    train = trainer(kind, json.loads(sizes), batches)
    for _ in sys.stdin:
        began = time.process_time()
        train()
        print(time.process_time() - began, flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
