"""Alembic's operations as steps that nobody waits for; `sexton.alembic` registers them."""
