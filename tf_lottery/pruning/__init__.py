"""Pruning: what to rank by, how many to keep where, the TF-MOT schedules and wrapper, and rewinding."""
