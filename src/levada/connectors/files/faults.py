"""Errors of disks and object stores as Levada's."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from levada.errors import Fatal, LevadaError, Retriable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}

#: Part of a store's answer -> what to raise, and the advice.
_MEANINGS: tuple[tuple[str, type[LevadaError], str], ...] = (
    ("InvalidAccessKeyId", Fatal, "check the credentials in storage_options"),
    ("SignatureDoesNotMatch", Fatal, "check the credentials in storage_options"),
    ("403 Forbidden", Fatal, "check the credentials in storage_options, and what they may do"),
    ("NoSuchBucket", Fatal, "create the bucket, or mend `path`"),
    ("timed out", Retriable, "the step is tried again"),
    ("error sending request", Retriable, "check the network and the endpoint in storage_options"),
    ("503 Service Unavailable", Retriable, "the step is tried again"),
    ("500 Internal Server Error", Retriable, "the step is tried again"),
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: What is worth telling of an answer in XML, which may name keys as well.
_TOLD = re.compile(r"<(?:Code|Message)>([^<]*)<")
#: Shorter values are no secrets, and masking them would make the text unreadable.
_SHORTEST = 4
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)


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
        told = known_fault(str(error), where, options)
        hint = "check `path` and storage_options"
        raise told or Fatal(f"the store: {shown(str(error), options)}", where=where, hint=hint) from None


def known_fault(text: str, where: str, options: Mapping[str, str]) -> LevadaError | None:
    """What a store's answer means; None where it is not known."""
    for part, kind, hint in _MEANINGS:
        if part in text:
            return kind(f"the store refused: {shown(text, options)}", where=where, hint=hint)
    return None


def shown(text: str, options: Mapping[str, str]) -> str:
    """A store's answer in one line, without what the options keep secret."""
    head, _, answer = " ".join(_COLOUR.sub("", text).replace("↳", ":").split()).partition("<?xml")
    told = " ".join([head, *(found[1] for found in _TOLD.finditer(answer))])
    for name, value in options.items():
        if len(value) >= _SHORTEST and _SECRET.search(name):
            told = told.replace(value, "***")
    return told
