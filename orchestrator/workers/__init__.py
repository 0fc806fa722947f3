"""The processes that answer the runner: feed, policy, gate."""
