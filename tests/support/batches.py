"""Rows of a table that are changed in batches: two whole ones, and a half."""

from sexton.ddl.row_loop import BATCH

FULL = 2 * BATCH + 500
