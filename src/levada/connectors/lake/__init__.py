"""The lake: Delta tables in a folder or an object store."""

from levada.connectors.lake.connection import LakeConnection
from levada.connectors.lake.settings import LakeSettings, OnTypeChange

__all__ = ["LakeConnection", "LakeSettings", "OnTypeChange"]
