"""Rehearsal: new revisions run on a throw-away PostgreSQL, and what they do is observed."""
