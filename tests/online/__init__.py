"""Tests of the online operations."""
