"""What a policy sees at the close of a bar."""
