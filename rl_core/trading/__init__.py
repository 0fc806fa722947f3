"""Whose money trades, when, and at what cost."""
