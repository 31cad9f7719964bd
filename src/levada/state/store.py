"""Where state lives: the collections of one MongoDB database, `etl_metadata` by default.

Every document carries `format`; a document of a newer format is refused, an older one is read as it is
(format 1 is the first). Writes wait for a majority of the replica set, and the primary is asked, whatever the
connection says: a secondary may not have the newest position yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import ASCENDING, DESCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from levada.errors import Fatal, Retriable

FORMAT = 1
_MAJORITY_SECONDS = 300  # that a write waits for other servers, one of which may be gone for good
Document = dict[str, Any]

_INDEXES: Mapping[str, list[list[tuple[str, int]]]] = {
    "runs": [
        [("pipeline", ASCENDING), ("window.start", ASCENDING), ("started_at", DESCENDING)],
        [("started_at", DESCENDING)],
    ],
    "check_results": [[("table", ASCENDING), ("rule", ASCENDING), ("at", DESCENDING)], [("run", ASCENDING)]],
    "quarantine": [[("table", ASCENDING), ("at", DESCENDING)], [("run", ASCENDING)]],
}


class Store:
    """The state database.

    Args:
        client: a client with rights to read and write `database`.
        database: its name.
    """

    def __init__(self, client: MongoClient[Document], database: str = "etl_metadata") -> None:
        self.client = client
        self.name = database
        self._ready = False

    def collection(self, name: str) -> Collection[Document]:
        """A collection with UTC datetimes and majority writes; its indexes exist."""
        self._prepare()
        return self._open(name)

    def readable(self, name: str) -> Collection[Document]:
        """The same, for reading: nothing is created."""
        return self._open(name)

    def _open(self, name: str) -> Collection[Document]:
        options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
        return self.client.get_database(
            self.name,
            codec_options=options,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", wtimeout=1000 * _MAJORITY_SECONDS),
        )[name]

    def _prepare(self) -> None:
        if self._ready:
            return
        with translated(f"state database {self.name}"):
            for name, indexes in _INDEXES.items():
                for keys in indexes:
                    self._open(name).create_index(keys)
        self._ready = True


def check_format(document: Mapping[str, Any] | None, what: str) -> None:
    """Refuse a state document that a newer Levada wrote."""
    if document and document.get("format", FORMAT) > FORMAT:
        raise Fatal(
            f"{what} has format {document['format']}, this Levada reads up to {FORMAT}",
            hint="upgrade Levada on this machine; the document was left as it is",
        )


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the driver's errors into Levada's."""
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
        raise Retriable(
            f"state is out of reach: {_short(error)}", where=where, hint="run `levada doctor`"
        ) from error
    except OperationFailure as error:
        if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
            raise Retriable(f"state could not be written: {_short(error)}", where=where) from error
        raise Fatal(
            f"state could not be read or written: {_short(error)}",
            where=where,
            hint="the user needs the role readWrite on this database; `levada doctor` prints it",
        ) from error
    except PyMongoError as error:
        raise Fatal(f"state failed: {_short(error)}", where=where) from error


def _short(error: BaseException) -> str:
    return str(error).split(", full error:")[0].split(", Timeout:")[0][:300]
