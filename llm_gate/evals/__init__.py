"""What the gate is worth: cases, scores and reports."""
