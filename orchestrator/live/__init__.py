"""A run watched from outside while it plays: its files are followed, and a page on the loopback address shows them."""
