"""The funded account's rule packs: read, compiled to integers, and shown."""
