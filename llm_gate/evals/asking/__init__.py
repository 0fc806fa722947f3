"""From a suite of questions to logged answers."""
