"""Whether the learner learns, whether anything looks ahead, and what ails a run."""
