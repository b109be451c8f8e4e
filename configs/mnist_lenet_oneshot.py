"""One-shot pruning against iterative pruning, both with and without the original initialisation.

Paper     The Lottery Ticket Hypothesis (1803.03635), Figure 4: the four curves
Command   python main.py --config=configs/mnist_lenet_oneshot.py
Cost      15.75 million steps: about 5.5 hours at the 795 steps/s that 2 CPU cores reached (docs/performance.md)
Expected  One-shot tickets stop earlier than the dense network for 67.5 % >= density >= 17.6 %, and end more accurate
          for 95.0 % >= density >= 5.17 %; iterative tickets do so down to smaller densities (section 2).
"""

from tf_lottery.configs import mnist_lenet


def get_config():
    config = mnist_lenet.get_config()
    config.name = 'mnist_lenet_oneshot'
    config.branches = ('ticket', 'random_reinit', 'one_shot', 'one_shot_reinit')
    return config
