"""Proximal policy optimisation: one update from `train.py` to `losses.py`, shared by both phases."""
