"""The long form of `test_native`: a million mutated buffers."""

import pytest

from levada.bson import native

from .conftest import need_native
from .test_native import hammer

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3_000)]


def test_a_million_mutated_buffers_crash_nothing(monkeypatch):
    need_native()
    monkeypatch.setenv(native.VARIABLE, "native")
    assert sum(hammer(50_000, seed) for seed in range(20)) > 100_000
