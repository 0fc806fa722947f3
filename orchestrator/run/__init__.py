"""One run: its configuration, folder and loop."""
