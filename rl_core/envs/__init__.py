"""Thin training environments over `rl_core.market`: phase 1 enters, phase 2 also manages the position."""
