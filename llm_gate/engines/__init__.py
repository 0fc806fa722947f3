"""Who decides: a model server, three written rules, a script or a coin."""
