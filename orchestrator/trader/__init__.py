"""What decides, without clock, socket or file: the state machine and its broker, limits and proposals."""
