"""The command groups of `orchestrator`."""
