"""Repair: a plan that is a promise, its making, and the way back."""
