"""Both codecs, one after the other: the same tests hold for each."""

from collections.abc import Iterator

import pytest

from levada.bson import native, walk

from ..lacking import need_native  # noqa: TID252

#: The vectorised walk of the reference for any number of cursors, and its plain walk for all.
WALKS = {"reference in step": 0, "reference plain": 10**9}


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
