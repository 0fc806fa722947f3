"""One deployable unit: feed, policy and gate workers, one loop, a journal and a report."""
