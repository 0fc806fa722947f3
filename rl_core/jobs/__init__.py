"""Whole jobs, such as the training of one fold: run here in turn, by several processes, or by a Ray cluster."""
