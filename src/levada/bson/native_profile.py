"""`levada.bson.profile` by the native codec."""

from __future__ import annotations

from typing import Any, Protocol

from levada.bson import profile
from levada.bson.documents import Documents
from levada.bson.native import codec
from levada.bson.profile import Lengths, Node, Profiled, Seen


class Profiler(Protocol):
    """Collects what documents hold."""

    def add(self, documents: Documents) -> None: ...
    def result(self) -> Profiled: ...


def profiler() -> Profiler:
    """A new, empty profile by the codec that works here.

    Raises:
        ConfigError: `LEVADA_CODEC` asks for one that doesn't exist or isn't installed.
    """
    return Profile() if codec() == "native" else profile.Profile()


class Profile:
    """Collects what documents hold; the same result as `levada.bson.profile.Profile`."""

    def __init__(self) -> None:
        import bsonarrow  # type: ignore[import-not-found,unused-ignore]

        self._profile = bsonarrow.Profile()

    def add(self, documents: Documents) -> None:
        """Look at more documents."""
        self._profile.add(documents.buffer, documents.starts.data, documents.ends.data)

    def result(self) -> Profiled:
        documents, rejected, root = self._profile.result()
        return Profiled(documents, rejected, _node(root))


def _node(found: tuple[Any, ...]) -> Node:
    types, lengths, members, items, others = found
    return Node(
        types={code: Seen(count, examples) for code, count, examples in types},
        lengths=Lengths(*lengths) if lengths else None,
        members={name: _node(member) for name, member in members},
        items=_node(items) if items else None,
        others=_node(others) if others else None,
    )
