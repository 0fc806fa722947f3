"""Checks of the learner: does it learn, does anything look ahead, what ails a training run."""
