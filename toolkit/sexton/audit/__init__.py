"""Audit: running checks on one snapshot, and what is known and reported of the findings."""
