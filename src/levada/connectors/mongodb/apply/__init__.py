"""Keyed changes of one collection: what becomes of stored rows, and how it is written."""
