"""What a model is shown: prompt files, facts in words, and text from outside."""
