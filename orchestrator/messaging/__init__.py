"""Messages between the runner and its workers: catalogue, frames, sockets, and both ends."""
