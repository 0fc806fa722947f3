"""What an evaluation reads and what it keeps."""
