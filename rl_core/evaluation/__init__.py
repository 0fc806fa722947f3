"""Plays a policy over bars and reports the trades."""
