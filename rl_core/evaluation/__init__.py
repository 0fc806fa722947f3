"""Runs of a policy outside its training bars."""
