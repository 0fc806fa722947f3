"""What a list of trades proves: intervals and the verdict."""
