"""Labels and hidden states of past bars, the file that keeps them, and how stable they are."""
