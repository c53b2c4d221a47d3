"""Audit: running checks on one snapshot, and what is known and told of the findings."""
