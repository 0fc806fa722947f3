"""From a journal to tables and one page."""
