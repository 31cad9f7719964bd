"""Levada: the data platform for teams whose system of record is MongoDB."""
