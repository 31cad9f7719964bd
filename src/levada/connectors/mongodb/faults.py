"""PyMongo's errors as Levada's: what a runner should do about each, and what a person should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pymongo import errors as pymongo_errors
from pymongo.errors import OperationFailure, PyMongoError

from levada.errors import ConfigError, Fatal, LevadaError, Retriable

DUPLICATE_KEY = 11000
DOCUMENT_INVALID = 121
INVALID_BSON = 22
NAMESPACE_NOT_FOUND = 26
CURSOR_NOT_FOUND = 43
ILLEGAL_OPERATION = 20
#: A transaction that is too long, or too large for the cache: less at a time may do.
TOO_LARGE = frozenset({290, 388})
#: A document that one of the collection's indexes can't take: parallel arrays, places, languages of texts.
_NOT_INDEXED = frozenset(
    {171, 201, 13026, 13027, 13067, 13068, 16675, 16732, 16733, 16746, 16755, 16756, 16766, 16804}
    | {17261, 17262, 17280}
)
#: A document this server does not take: validator, depth, size (several versions' codes), fields, BSON.
UNSTORABLE = _NOT_INDEXED | frozenset(
    {DOCUMENT_INVALID, 2, 9, 15, 10334, 17419, 17420, 22, 52, 53, 55, 56, 57, 66, 5107201}
)

_NO_SESSIONS = "Sessions are not supported"
_DOCTOR = "does a server run there? `levada doctor` looks at the connections of a project"
_ROLES = "`levada doctor` prints the least role this connection needs"


@dataclass(frozen=True)
class Meaning:
    """What an error code means for the runner, and the advice that goes with it."""

    error: type[LevadaError]
    what: str
    hint: str | None = None


#: Server error code -> meaning; codes that are not here are Fatal unless the server labels them retriable.
MEANINGS: Mapping[int, Meaning] = {
    18: Meaning(ConfigError, "authentication failed", "check username, password and auth_source"),
    8000: Meaning(ConfigError, "authentication failed", "check username, password and auth_source"),
    11: Meaning(ConfigError, "there is no such user", "check username and auth_source"),
    334: Meaning(ConfigError, "the server does not take this auth_mechanism", "check auth_mechanism"),
    13: Meaning(Fatal, "not authorized", _ROLES),
    33: Meaning(Fatal, "not authorized", _ROLES),
    26: Meaning(Fatal, "there is no such collection", None),
    64: Meaning(
        Retriable,
        "most servers of the replica set did not take a write in time",
        "see `rs.status()`: a member is down, or lags",
    ),
    50: Meaning(Retriable, "the operation exceeded its time limit", "try again, or ask for a smaller window"),
    43: Meaning(Retriable, "the server has lost the cursor", "the step is tried again"),
    237: Meaning(Retriable, "the cursor was killed", "the step is tried again"),
    11601: Meaning(Retriable, "the operation was interrupted", "the step is tried again"),
    112: Meaning(Retriable, "another writer was at the same document", "the step is tried again"),
    251: Meaning(Retriable, "the transaction is gone", "the step is tried again"),
    225: Meaning(Retriable, "the transaction is too old", "the step is tried again"),
    246: Meaning(Retriable, "the snapshot is gone", "the step is tried again"),
    239: Meaning(Retriable, "the snapshot is too old", "ask for a smaller window"),
    290: Meaning(
        Retriable, "the transaction took longer than the server allows", "give the server more time"
    ),
    388: Meaning(Retriable, "the transaction does not fit the server's cache", "give the server more cache"),
    24: Meaning(Retriable, "the server was busy with a lock", "the step is tried again"),
    46: Meaning(Retriable, "the server was busy with a lock", "the step is tried again"),
    117: Meaning(Retriable, "a conflicting operation is in progress", "the step is tried again"),
    314: Meaning(Retriable, "the server's disk is full", "free some space on the server"),
    14031: Meaning(Retriable, "the server's disk is full", "free some space on the server"),
    DOCUMENT_INVALID: Meaning(Fatal, "a document breaks the collection's validator", None),
}

_RETRIABLE_LABELS = ("RetryableWriteError", "TransientTransactionError", "ResumableChangeStreamError")
#: Step-down, shutdown, network and election codes, as the drivers' specification lists them.
NODE_CODES = frozenset(
    {6, 7, 63, 89, 91, 133, 134, 150, 189, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436, 234}
)


def translate(error: PyMongoError, where: str | None = None) -> LevadaError:
    """The Levada error that says the same as a PyMongo error."""
    if isinstance(error, OperationFailure) and error.code is not None:
        return _server_error(error, where)
    if _is_starting(error):
        what = "MongoDB can't be read yet: the server is starting, or its replica set was never initiated"
        return Retriable(what, where=where, hint="see `rs.status()`")
    if isinstance(error, (pymongo_errors.ConfigurationError, pymongo_errors.InvalidURI)):
        return ConfigError(f"MongoDB settings: {error}", where=where)
    if isinstance(error, pymongo_errors.ServerSelectionTimeoutError):
        reason = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
        return Retriable(f"MongoDB is not reachable: {reason}", where=where, hint=_DOCTOR)
    if isinstance(error, pymongo_errors.NetworkTimeout) and isinstance(error.__cause__, OperationFailure):
        return translate(error.__cause__, where)  # a transaction that was tried for too long
    if isinstance(error, pymongo_errors.ConnectionFailure):
        return Retriable(f"the connection to MongoDB broke: {error}", where=where, hint=_DOCTOR)
    if isinstance(error, pymongo_errors.DocumentTooLarge):
        return Fatal(f"a document is larger than the server takes: {error}", where=where)
    return Fatal(f"MongoDB: {error}", where=where)


def _server_error(error: OperationFailure, where: str | None) -> LevadaError:
    message = str((error.details or {}).get("errmsg") or error)
    meaning = MEANINGS.get(error.code or 0)
    if meaning:
        return meaning.error(f"{meaning.what}: {message}", where=where, hint=meaning.hint)
    if retriable(error):
        return Retriable(f"MongoDB: {message}", where=where, hint="the step is tried again")
    return Fatal(f"MongoDB refused (code {error.code}): {message}", where=where)


def retriable(error: PyMongoError) -> bool:
    """Whether the same command may succeed a moment later: network, step-down, conflict."""
    if isinstance(error, OperationFailure):
        labelled = any(error.has_error_label(label) for label in _RETRIABLE_LABELS)
        meaning = MEANINGS.get(error.code or 0)
        return labelled or error.code in NODE_CODES or bool(meaning and meaning.error is Retriable)
    return isinstance(error, pymongo_errors.ConnectionFailure) or _is_starting(error)


def _is_starting(error: PyMongoError) -> bool:
    """Whether a server was asked that is no readable member of its replica set yet: it has no sessions."""
    return isinstance(error, pymongo_errors.ConfigurationError) and str(error).startswith(_NO_SESSIONS)


@contextmanager
def translated(where: str | None = None) -> Iterator[None]:
    """Let PyMongo's errors out as Levada's."""
    try:
        yield
    except PyMongoError as error:
        raise translate(error, where) from error
