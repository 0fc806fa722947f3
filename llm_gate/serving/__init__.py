"""The model server as a process: planned, started, proven, watched and ended."""
