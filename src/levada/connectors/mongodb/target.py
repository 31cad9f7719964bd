"""The collection that is written to: what it is, rows to remove, its stand-in while it is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from bson.son import SON
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from levada.connectors.mongodb.faults import NAMESPACE_NOT_FOUND
from levada.connectors.mongodb.fence import LANES, Fence
from levada.connectors.mongodb.raw import RAW
from levada.connectors.mongodb.rows import CHUNK_ROWS
from levada.errors import ConfigError, Fenced

_STAGE = "__levada_stage_"
_NAMESPACE_EXISTS = 48


class Target:
    """One collection to write to.

    Args:
        client: of the sink.
        database, collection: where.
    """

    def __init__(self, client: MongoClient[Any], database: str, collection: str) -> None:
        self.name = collection
        self.database: Database[Any] = client.get_database(
            database, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority")
        )
        self.client = client
        self.description = self._describe()

    def __str__(self) -> str:
        return f"{self.database.name}.{self.name}"

    def _describe(self) -> dict[str, Any]:
        with self.database.list_collections(filter={"name": self.name}) as found:
            return next((dict(description) for description in found), {})

    @property
    def uuid(self) -> Any:
        """What tells it from another collection of its name, as it is now; None if there is none."""
        return self._describe().get("info", {}).get("uuid")

    @property
    def plain(self) -> bool:
        """Whether it takes transactions: time series and capped collections do not."""
        return self.description.get("type", "collection") == "collection" and not self.options.get("capped")

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.description.get("options", {}))

    @property
    def collation(self) -> dict[str, Any] | None:
        """How it compares text; None is by the bytes."""
        found = self.options.get("collation")
        return dict(found) if found else None

    def prepare(self) -> None:
        """Create it if it is not there.

        Raises:
            ConfigError: it is a view.
        """
        if self.description.get("type") == "view":
            raise ConfigError(f"{self} is a view, so nothing can be written to it", where=str(self))
        if not self.description:
            self._create(self.name, {})

    def _create(self, name: str, options: dict[str, Any]) -> None:
        try:
            self.database.command(SON([("create", name), *options.items()]))
        except (CollectionInvalid, OperationFailure) as error:
            if getattr(error, "code", None) != _NAMESPACE_EXISTS:
                raise

    def delete(self, condition: dict[str, Any], fence: Fence) -> int:
        """Remove the rows of a condition, in bounded transactions under the fence; returns how many."""

        def remove(lane: int, ids: list[Any]) -> int:
            chunk = {"$and": [{"_id": {"$in": ids}}, condition]}

            def work(session: ClientSession | None) -> int:
                return self.database[self.name].delete_many(chunk, session=session).deleted_count

            return fence.run(lane, work)

        removed, waiting = 0, self.ids(condition)
        with ThreadPoolExecutor(LANES) as pool:
            while chunks := list(islice(waiting, LANES)):
                removed += sum(pool.map(remove, range(LANES), chunks))
        return removed

    def ids(self, condition: dict[str, Any], size: int = CHUNK_ROWS) -> Iterator[list[Any]]:
        """The `_id`s of a condition's rows, in chunks."""
        held: list[Any] = []
        collection = self.database.get_collection(self.name, codec_options=RAW)
        with collection.find(condition, {"_id": 1}, batch_size=size) as cursor:
            for row in cursor:
                held.append(row["_id"])
                if len(held) == size:
                    yield held
                    held = []
        if held:
            yield held

    def rename(self, source: str, target: str) -> None:
        """Rename a collection over another one, by their full names."""
        command = {"renameCollection": source, "to": target, "dropTarget": True}
        self.client.admin.command({**command, "writeConcern": {"w": "majority"}})

    def count(self, condition: dict[str, Any]) -> int:
        return self.database[self.name].count_documents(condition)

    def stage(self, fence: Fence, owner: str) -> Stage:
        """A new, empty collection that will take its place; what earlier ones of this owner left is dropped.

        Raises:
            ConfigError: it is a kind of collection that can't be replaced.
        """
        if not self.plain:
            raise ConfigError(
                f"{self} is a time series or capped collection: it can't be replaced as a whole",
                where=str(self),
                hint="use mode append",
            )
        prefix = f"{self.name}.{_STAGE}{hashlib.sha256(owner.encode()).hexdigest()[:8]}_"
        for name in self.database.list_collection_names(
            filter={"name": {"$gte": prefix, "$lt": prefix + "~"}}
        ):
            self.database.drop_collection(name)
        stage = Stage(self, f"{prefix}{fence.writer[:8]}", fence)
        self._create(stage.name, self.options)
        stage.index(unique=True)
        return stage


class Stage:
    """A stand-in for a collection: same options and indexes, swapped in as a whole."""

    def __init__(self, target: Target, name: str, fence: Fence) -> None:
        self.name = name
        self._target = target
        self._fence = fence

    def index(self, *, unique: bool) -> None:
        """Copy the target's indexes: unique ones are needed at once, the others are faster at the end."""
        database = self._target.database
        wanted = [
            {key: value for key, value in index.items() if key not in ("ns", "background")}
            for index in database[self._target.name].list_indexes()
            if index["name"] != "_id_" and bool(index.get("unique")) is unique
        ]
        if wanted:
            database.command({"createIndexes": self.name, "indexes": wanted})

    def swap(self) -> int:
        """Put it in the target's place; returns how many rows the old one had.

        Raises:
            Fenced: another writer has taken over.
        """
        self.index(unique=False)
        database = self._target.database
        before = database[self._target.name].estimated_document_count()
        replaced = self._target.uuid
        self._fence.hold()
        source, target = (f"{database.name}.{name}" for name in (self.name, self._target.name))
        try:
            self._target.rename(source, target)
        except OperationFailure as error:
            if error.code != NAMESPACE_NOT_FOUND:
                raise
            self._fence.hold()
            raise Fenced(f"{source} has been dropped by another writer", where=target) from error
        self._fence.follow(replaced)
        return before

    def drop(self) -> None:
        self._target.database.drop_collection(self.name)
