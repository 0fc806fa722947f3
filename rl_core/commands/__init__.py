"""The commands of `rl-core`, one file a group."""
