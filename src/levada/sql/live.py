"""The catalog of a database that is there: types by validators and samples, indexes, sizes.

What a table looks like is asked when a query first names it, and kept until `refresh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from levada.connectors.mongodb.faults import translated
from levada.sql.catalog import Field, Index, TableSchema, spelled
from levada.sql.errors import SqlError
from levada.sql.sampling import Sample, sampled
from levada.sql.types import OBJECTID
from levada.sql.validators import Promised, Seen, promised, schema_of

if TYPE_CHECKING:
    from pymongo.database import Database

#: Documents that are looked at.
SAMPLE: Final = 1_000

#: Names that are no tables of anybody: the server's own, and the driver's temporary ones.
HIDDEN: Final = ("system.", "levada.tmp.")

_PROVE_MS: Final = 500  # how long a document is looked for that is older than the validator
_NOTHING: Final = {"_id": 0, "found": {"$literal": True}}  # of a document: only that there is one
_SIMPLE: Final = "simple"
_UNAUTHORIZED: Final = 13


class LiveCatalog:
    """Implements `levada.sql.catalog.Catalog` over a database.

    Args:
        database: whose collections and views are the tables; its client leads to one server.
        sample: how many documents of a table are looked at.
    """

    def __init__(self, database: Database[Any], sample: int = SAMPLE) -> None:
        self._database = database
        self._sample = sample
        self._entries: dict[str, Mapping[str, Any]] | None = None
        self._tables: dict[str, TableSchema] = {}

    def refresh(self) -> None:
        """Forget what was seen."""
        self._entries = None
        self._tables.clear()

    def names(self) -> Iterable[str]:
        """All collections and views, without the server's own."""
        return list(self._known())

    def table(self, name: str) -> TableSchema | None:
        """What a collection or a view holds.

        Raises:
            SqlError: it is empty, and has no validator: nobody knows its columns.
        """
        found = spelled(name, self._known())
        if found is None:
            self._entries = None  # it may have been made since
            found = spelled(name, self._known())
        if found is None:
            return None
        if found not in self._tables:
            with translated(f"{self._database.name}.{found}"):
                self._tables[found] = self._look(found, self._known()[found])
        return self._tables[found]

    def _known(self) -> dict[str, Mapping[str, Any]]:
        if self._entries is None:
            with translated(self._database.name):
                found = _entries(self._database)
            self._entries = {one["name"]: one for one in found if not one["name"].startswith(HIDDEN)}
        return self._entries

    def _look(self, name: str, entry: Mapping[str, Any]) -> TableSchema:
        options, stored = entry.get("options", {}), entry["type"] == "collection"
        rows, mean = self._sizes(name) if entry["type"] != "view" else (None, None)
        schema = schema_of(options) if stored else None
        sample = sampled(self._database, name, self._sample, rows if stored else None)
        kept = promised(schema, Seen(dict(sample.types))) if schema is not None else Promised()
        if kept.fields and self._broken(name, options):
            kept = Promised()
        fields = _merged(kept, sample, identified=stored and self._identified(name))
        if len(fields) < 2 and not sample.documents and not kept.fields:
            raise _empty(name, "view" if entry["type"] == "view" else "collection")
        return TableSchema(
            name,
            fields,
            indexes=tuple(_indexes(self._database, name)) if stored else (),
            rows=rows,
            bytes=mean,
            origin="validator" if kept.fields else "sample",
            sure=_sure(kept, sample),
        )

    def _sizes(self, name: str) -> tuple[int | None, int | None]:
        from pymongo.errors import OperationFailure

        try:
            found = self._database.command("collStats", name)
        except OperationFailure:  # not with this user's rights
            return None, None
        mean = found.get("avgObjSize")
        return found.get("count"), int(mean) if mean else None

    def _identified(self, name: str) -> bool:
        """Whether no document's `_id` is null."""
        return self._database[name].find_one({"_id": None}, _NOTHING) is None

    def _broken(self, name: str, options: Mapping[str, Any]) -> bool:
        """Whether a document breaks the validator: it may be older, or written past it."""
        from pymongo.errors import ExecutionTimeout

        try:
            one = self._database[name].find_one(
                {"$nor": [options["validator"]]}, _NOTHING, max_time_ms=_PROVE_MS
            )
        except ExecutionTimeout:
            return False
        return one is not None


def _entries(database: Database[Any]) -> list[Mapping[str, Any]]:
    """The collections; without their options where this user may only see names."""
    from pymongo.errors import OperationFailure

    try:
        return list(database.list_collections())
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return list(database.list_collections(nameOnly=True, authorizedCollections=True))


def _merged(kept: Promised, sample: Sample, *, identified: bool) -> tuple[Field, ...]:
    """Promised columns, then those that were only seen.

    Args:
        identified: whether every document has an `_id`; it comes first then.
    """
    fields = {field.name: field for field in kept.fields}
    if not kept.closed:
        fields |= {name: Field(name, kind) for name, kind in sample.types.items() if name not in fields}
    if not identified:
        return tuple(fields.values())
    identity = fields.pop("_id", Field("_id", sample.types.get("_id", OBJECTID)))
    return (replace(identity, nullable=False), *fields.values())


def _sure(kept: Promised, sample: Sample) -> str:
    if not kept.fields:
        return sample.sure
    return "the validator" if kept.closed else f"the validator, and of other columns {sample.sure}"


def _empty(name: str, kind: str) -> SqlError:
    return SqlError(
        f"the {kind} {name!r} has no documents, so its columns are not known",
        hint="write a document, or give it a validator with $jsonSchema",
    )


def _indexes(database: Database[Any], name: str) -> Iterator[Index]:
    for found in database[name].list_indexes():
        keys = tuple((path, kind) for path, kind in found["key"].items())
        usable = all(kind in (1, -1) for _, kind in keys) and not any("$**" in path for path, _ in keys)
        simple = found.get("collation", {}).get("locale", _SIMPLE) == _SIMPLE
        if usable and simple and not found.get("hidden"):
            complete = not (found.get("sparse") or found.get("partialFilterExpression"))
            yield Index(
                found["name"],
                tuple((path, int(kind)) for path, kind in keys),
                unique=bool(found.get("unique")) or found["name"] == "_id_",
                multikey=_multikey(database, name, found["name"]),
                complete=complete,
            )


def _multikey(database: Database[Any], name: str, index: str) -> frozenset[str] | None:
    """Paths under which the server has seen arrays, by the explanation of a find that uses the index."""
    from pymongo.errors import OperationFailure

    if index == "_id_":
        return frozenset()
    find = {"find": name, "filter": {}, "hint": index}
    try:
        found = database.command({"explain": find, "verbosity": "queryPlanner"})
    except OperationFailure:
        return None
    scans = [stage for stage in stages_of(found) if stage.get("stage") == "IXSCAN"]
    if not scans or any("isMultiKey" not in scan for scan in scans):
        return None
    many = [scan.get("multiKeyPaths", {}) for scan in scans if scan["isMultiKey"]]
    return frozenset(path for paths in many for at in paths.values() for path in at)


def stages_of(explained: Any) -> Iterator[Mapping[str, Any]]:
    """Every stage of the winning plans in the server's explanation, outer before inner."""
    if isinstance(explained, list):
        for one in explained:
            yield from stages_of(one)
    elif isinstance(explained, Mapping):
        if isinstance(explained.get("stage"), str):
            yield explained
        for name, part in explained.items():
            if name != "rejectedPlans":
                yield from stages_of(part)
