"""The record of a run: its lines and its file."""
