from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.read_preferences import ReadPreference

from levada.state import Store

pytestmark = pytest.mark.unit


def test_the_primary_is_asked_whatever_the_connection_reads_from() -> None:
    with MongoClient[dict[str, Any]]("localhost", readPreference="secondary", connect=False) as client:
        asked = Store(client).readable("positions")
        assert client.read_preference != ReadPreference.PRIMARY
        assert asked.read_preference == ReadPreference.PRIMARY
        assert asked.write_concern.document["w"] == "majority"
