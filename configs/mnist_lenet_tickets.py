"""What is in the ticket: Lenet on MNIST with every variation of its initialisation, and pictures of its weights.

Paper     The Lottery Ticket Hypothesis (1803.03635), appendix F: F.3, F.4 and F.7 are branches; F.1, F.2, F.5 and F.6
          are pictures of the report, as of every experiment's
Command   python main.py --config=configs/mnist_lenet_tickets.py
Cost      18.75 million steps: about 6.5 hours at the 795 steps/s that 2 CPU cores reached (docs/performance.md)
Expected  Noise of half a standard deviation hardly matters, and even three leave the ticket ahead of a reinitialised
          one; resampled initialisations are little better than new ones; pruning by initial magnitude is worse. The
          survivors of fc1 start from a Gaussian, those of the other layers from two peaks around zero; they move more
          than the others do, and away from zero; units keep similar shares of their incoming connections, and very
          different ones of their outgoing connections (appendix F).
"""

from tf_lottery.configs import mnist_lenet


def get_config():
    config = mnist_lenet.get_config()
    config.name = 'mnist_lenet_tickets'
    config.branches = ('ticket', 'random_reinit', 'random_mask', 'resampled', 'resampled_signs', 'initial_magnitude',
                       'noise_0.5', 'noise_1', 'noise_2', 'noise_3')
    config.reinits = 1
    return config
