"""What an experiment runs on: file systems, locks, clusters and strategies, signals, Keras 2."""
