"""Changes and stored documents, sorted by the keys that the server takes for equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levada.bson import Documents
from levada.connectors.mongodb.apply.fold import Change
from levada.connectors.mongodb.apply.keys import Equality, Key, Keys


@dataclass(slots=True)
class Group:
    """The changes of one key, in order.

    Args:
        form: bytes that are equal where keys are, among the groups of a chunk.
        key: of the first change.
        changes: at least one.
        tries: how often the server has refused it.
    """

    form: bytes
    key: Key
    changes: list[Change]
    tries: int = 0

    def halve(self) -> Group:
        """Give up the second half of the changes, which has to come after the first."""
        half = len(self.changes) // 2
        rest = Group(self.form, self.key, self.changes[half:])
        self.changes = self.changes[:half]
        return rest


class Grouping:
    """Sorts by key.

    Args:
        keys: how rows are told apart.
        equality: asked about the values whose bytes don't say it.
    """

    def __init__(self, keys: Keys, equality: Equality) -> None:
        self._keys = keys
        self._equality = equality

    def of(self, changes: Sequence[Change]) -> list[Group]:
        """The changes of each key, in the order in which the keys came."""
        formed = [change.form or self._keys.form(change.key) for change in changes]
        if None in formed:
            forms = self._equality.forms(self._keys.odd(change.key for change in changes))
            formed = [self._keys.form(change.key, forms) for change in changes]
        groups: dict[bytes | None, Group] = {}
        for form, change in zip(formed, changes, strict=True):
            group = groups.get(form)
            if group is None:
                groups[form] = Group(form or b"", change.key, [change])
            else:
                group.changes.append(change)
        return list(groups.values())

    def stored(self, part: Sequence[Group], found: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Places of what was found under the keys of these groups, by the groups' forms."""
        keys = self._keys.of_all(Documents.from_list(found))
        odd = self._keys.odd(group.key for group in part)
        if odd:
            odd = list(dict.fromkeys([*odd, *self._keys.odd(key for key in keys if key is not None)]))
        forms = self._equality.forms(odd)
        wanted = {self._keys.form(group.key, forms): group.form for group in part}
        stored: dict[bytes, list[int]] = {}
        for place, key in enumerate(keys):
            form = wanted.get(self._keys.form(key, forms)) if key is not None else None
            if form is not None:
                stored.setdefault(form, []).append(place)
        return stored
