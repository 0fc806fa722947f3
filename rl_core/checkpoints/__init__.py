"""What a checkpoint is, how it is proven and served, and where it came from."""
