"""Environments that are acted in: pure functions where a step is a few formulas, else Gymnasium's own."""
