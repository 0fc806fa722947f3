"""A sweep: members that differ in some settings are trained, and judged on sessions kept for that choice alone."""
