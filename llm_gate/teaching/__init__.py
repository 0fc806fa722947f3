"""What a gate is taught on, and how: from recorded cases to a regression or to a model folder."""
