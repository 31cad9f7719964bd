"""Both codecs, one after the other: the same tests hold for each."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from levada.bson import native, walk

#: The vectorised walk of the reference for any number of cursors, and its plain walk for all.
WALKS = {"reference in step": 0, "reference plain": 10**9}


def need_native() -> None:
    """Skip where the native codec isn't installed; fail in CI, where it has to be."""
    if find_spec("bsonarrow") is None:
        message = "the native codec isn't installed: make native"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def using(name: str) -> Iterator[str]:
    if name == "native":
        need_native()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, name.split(maxsplit=1)[0])
        if name in WALKS:
            patch.setattr(walk, "FEW", WALKS[name])
        yield name


@pytest.fixture(params=["reference", "native"], scope="module")
def codec(request: pytest.FixtureRequest) -> Iterator[str]:
    """The codec that `levada.bson` uses in this module's tests."""
    yield from using(request.param)


@pytest.fixture(params=[*WALKS, "native"], scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same, with both walks of the reference."""
    yield from using(request.param)
