"""BSON <-> Arrow: typed columns from raw documents and back, nothing lost."""
