"""deltalake's errors as Levada's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from levada.connectors.objectstore import fault, shown
from levada.errors import Fatal, LevadaError, Retriable

#: Part of an error's text -> what to raise, and the advice.
_MEANINGS: tuple[tuple[str, type[LevadaError], str], ...] = (
    ("No space left", Retriable, "free some space, then run again"),
    ("File too large", Retriable, "free some space, then run again"),
    ("Disk quota exceeded", Retriable, "free some space, then run again"),
    ("Permission denied", Fatal, "the folder must be writable for this user"),
    ("PermissionDenied", Fatal, "the folder must be writable for this user"),
    ("Read-only file system", Fatal, "the folder must be writable"),
    ("File name too long", Fatal, "a partition's value stands in its folder's name: choose a shorter column"),
    ("Not a directory", Fatal, "something else stands where the lake's folder should be"),
    ("Could not create local directory", Fatal, "the folder must exist or be creatable"),
)


def translate(error: Exception, where: str) -> LevadaError:
    """The Levada error that says the same."""
    text = str(error).split("\n   0: ")[0].strip()
    if told := fault(text, where):
        return told
    text = shown(text, {})
    for part, kind, hint in _MEANINGS:
        if part in text:
            return kind(f"the lake refused: {text}", where=where, hint=hint)
    if isinstance(error, CommitFailedError):
        return Retriable(f"others committed at the same time: {text}", where=where, hint="run it again")
    if isinstance(error, TableNotFoundError):
        return Fatal(f"can't open the table: {text}", where=where, hint="`levada doctor` lists the tables")
    return Fatal(f"the lake refused: {text}", where=where)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Let deltalake's errors out as Levada's."""
    try:
        yield
    except (DeltaError, OSError) as error:
        raise translate(error, where) from error
    except Exception as error:
        if (
            type(error) is not Exception
        ):  # the driver raises bare `Exception` for errors of its inner libraries
            raise
        raise translate(error, where) from error
