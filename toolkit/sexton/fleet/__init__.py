"""Fleets: the same work over many databases, in waves, with one report."""
