"""Repair: a plan that is a promise, its execution, and its undo."""
