"""Errors of disks and object stores as Levada's."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from levada.connectors.objectstore import fault, shown
from levada.errors import Fatal, Retriable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def local_errors(where: str) -> Iterator[None]:
    """Let the operating system's errors out as Levada's."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            hint = "free some space, then run again"
            raise Retriable(f"no room for files: {error.strerror}", where=where, hint=hint) from error
        hint = "the folder must be writable for this user" if error.errno in _RIGHTS else "check the path"
        raise Fatal(f"files: {error.strerror or error}", where=where, hint=hint) from error


@contextmanager
def store_errors(where: str, options: Mapping[str, str]) -> Iterator[None]:
    """Let an object store's errors out as Levada's, without its credentials.

    The driver's own error is not chained: its text holds what the store said, keys included.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        told = fault(str(error), where)
        hint = "check `path` and storage_options"
        raise told or Fatal(
            f"the store refused: {shown(str(error), options)}", where=where, hint=hint
        ) from None
