"""Functions and operators: one table per family."""
