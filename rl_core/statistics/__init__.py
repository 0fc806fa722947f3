"""Says what a list of trades proves: intervals and the verdict."""
