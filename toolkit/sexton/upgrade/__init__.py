"""Upgrade: changing the schema of a live database, and the guard beside it."""
