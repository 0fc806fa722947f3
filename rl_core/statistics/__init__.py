"""Says what a list of trades proves: intervals, Sharpe ratios, tests that count the tries, and the verdict."""
