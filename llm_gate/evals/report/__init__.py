"""From figures to pages and exchange formats."""
