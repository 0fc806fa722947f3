"""The command groups of `llm-gate`."""
