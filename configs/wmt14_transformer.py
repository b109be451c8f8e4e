"""The Transformer, base and big, on WMT'14 from English to German.

Paper     Playing the lottery with rewards and multiple languages (1906.02768), Figures 2 and 3, section 4.3
Command   python main.py --config=configs/wmt14_transformer.py:base --strategy=multi_worker
Command   python main.py --config=configs/wmt14_transformer.py:big --strategy=multi_worker
Cost      For each arm 41 trainings of 50,000 updates of 14,336 pairs of sentences, for 128 GPUs or as many as hold the
          batch; the text is 1.6 GB to download, by TFDS, and its sub-words are learned in minutes when a job starts
Expected  Base 27.6 BLEU without pruning, big 29.3 and 28.9 with two thirds of it pruned. With embeddings kept whole
          (--config.translation.prune_embeddings=False) random tickets fall much faster, tickets in about a line.

Training is that of Ott et al. 2018 (1806.00187) in fairseq, which the paper took: 3,584 tokens for each of 128 GPUs,
Adam with PyTorch's epsilon, an inverse square root from 0.001 on. The paper does not say how many levels it pruned the
Transformer by, nor which checkpoints it averaged: here 20, and the last ten epochs. It took sub-words of 32,000 as
Vaswani et al. had them, and BLEU of tokenised text; here SentencePiece learns as many, and sacreBLEU takes the text as
it is, which is about a point lower.
"""

from tf_lottery import config as base

# Width, heads, width of the feed-forward layers, dropout.
ARMS = {'base': (512, 8, 2048, 0.1), 'big': (1024, 16, 4096, 0.3)}


def get_config(arm='base'):
    base.check_arm('configs/wmt14_transformer.py', arm, ARMS)
    config = base.defaults()
    config.name = f'wmt14_transformer_{arm}'
    config.task = 'translation'
    translation, training, pruning = config.translation, config.training, config.pruning
    translation.data, translation.source, translation.target = 'wmt14', 'en', 'de'
    translation.vocabulary = 32_768
    translation.longest = 250
    translation.buckets = 8
    translation.layers = 6
    translation.width, translation.heads, translation.feed_forward, translation.dropout = ARMS[arm]
    translation.beam = 4
    training.length = '50000it'
    # 3,584 tokens on each of 128 GPUs, of 32 to a sentence.
    training.batch_size = 14_336
    training.beta_2 = 0.98
    training.epsilon = 1e-8
    training.epsilon_outside = True
    training.learning_rate = 1e-3
    training.schedule = 'inverse_square_root'
    training.warmup = '4000it'
    training.label_smoothing = 0.1
    training.precision = 'mixed_bfloat16'
    training.evaluate_every = '1ep'
    training.checkpoint_every = '1ep'
    training.average = 10
    pruning.variables = 'all'
    pruning.scope = 'global'
    pruning.rewind_to = '1000it'
    config.branches = ('ticket', 'random_sparse')
    config.replicates = 1
    return config
