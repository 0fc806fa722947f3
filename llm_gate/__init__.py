"""A gate that approves, vetoes or shrinks an entry before it becomes an order."""
