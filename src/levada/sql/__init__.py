"""SQL that runs inside MongoDB."""
