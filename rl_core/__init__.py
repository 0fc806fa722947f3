"""Bars, features, the market inside one bar, the training environments and PPO. No sockets, no language model."""
