"""From bound relations to an aggregation pipeline."""
