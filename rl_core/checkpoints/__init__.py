"""Saves and restores checkpoints, verifies them, serves their policy, and tells where they came from."""
