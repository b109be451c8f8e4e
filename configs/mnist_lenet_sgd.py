"""Lenet on MNIST trained by SGD, which finds tickets down to smaller densities than Adam.

Paper     The Lottery Ticket Hypothesis (1803.03635), appendix G.1: SGD at 0.4 and 0.8 trains best
Command   python main.py --config=configs/mnist_lenet_sgd.py
Cost      6.75 million steps: about 2.5 hours at the 795 steps/s that 2 CPU cores reached (docs/performance.md)
Expected  Tickets as fast as the dense network below 1 % of the weights, where Adam's end at about 3.6 %.
"""

from tf_lottery.configs import mnist_lenet


def get_config():
    config = mnist_lenet.get_config()
    config.name = 'mnist_lenet_sgd'
    config.training.optimizer = 'sgd'
    config.training.learning_rate = 0.8
    config.replicates = 3
    return config
