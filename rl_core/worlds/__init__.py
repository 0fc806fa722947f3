"""Synthetic markets, and what can be earned in them."""
