"""From logged answers to figures with intervals."""
