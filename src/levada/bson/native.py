"""Which codec does the work: the native one (`bsonarrow`) where it is installed, else the reference.

Both give the same rows, schemas and rejects; the native one is many times faster. It is looked for at the
first use, not at import. The environment variable `LEVADA_CODEC` (`native` or `reference`) decides instead,
for tests and diagnosis.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import Rejected
from levada.bson import decode, digest, fields, native_decode, native_encode, reply
from levada.bson.documents import Documents
from levada.bson.encode import encode as encode_by_reference
from levada.errors import ConfigError

#: The environment variable that overrides the choice.
VARIABLE = "LEVADA_CODEC"

#: What to say where the reference does the work.
SLOWER = (
    ", several times slower than the native one (pip install 'levada[native]', in a checkout make native)"
)

Codec = Literal["native", "reference"]


def codec() -> Codec:
    """Which codec works here.

    Raises:
        ConfigError: `LEVADA_CODEC` asks for one that doesn't exist or isn't installed.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "reference" or (wanted == "" and not _installed()):
        return "reference"
    if wanted not in {"", "native"}:
        raise ConfigError(
            f"there is no codec {wanted!r}",
            where=VARIABLE,
            hint="set it to native or reference, or not at all",
        )
    if not _installed():
        raise ConfigError(
            "the native codec is not installed",
            where=VARIABLE,
            hint='pip install "levada[native]", in a checkout of the source: make native',
        )
    return "native"


@cache
def _installed() -> bool:
    return find_spec("bsonarrow") is not None


class _Decodes(Protocol):
    @property
    def schema(self) -> pa.Schema: ...
    def decode(self, documents: Documents) -> tuple[pa.RecordBatch, tuple[Rejected, ...]]: ...


class Decoder:
    """Decodes the documents of one read; its schema only widens.

    Args:
        schema: what is known of the table beforehand; None when nothing is.
    """

    def __init__(self, schema: pa.Schema | None = None) -> None:
        self._decoder = _decoder(schema)

    @property
    def schema(self) -> pa.Schema:
        """What holds the rows of all batches so far."""
        return self._decoder.schema

    def decode(self, documents: Documents) -> tuple[pa.RecordBatch, tuple[Rejected, ...]]:
        """Decode one batch.

        Returns:
            The rows of the sound documents by `schema`, which now holds them, and the rejected ones in order.

        Raises:
            Fatal: the documents are larger than 2 GiB together.
        """
        return self._decoder.decode(documents)


def _decoder(schema: pa.Schema | None) -> _Decodes:
    if codec() == "native":
        try:
            return native_decode.Decoder(schema)
        except NotImplementedError:  # Arrow types that only the reference widens
            pass
    return decode.Decoder(schema)


def encode(batch: pa.RecordBatch, *, omit_nulls: bool = False) -> tuple[pa.Array, tuple[Rejected, ...]]:
    """One BSON document per row.

    Args:
        batch: rows by a schema whose labels say which BSON types to restore.
        omit_nulls: leave null members out instead of writing null (array elements always stay).

    Returns:
        A binary array without nulls, in the order of the rows, without the rejected ones; and those.

    Raises:
        Fatal: a name appears twice or holds NUL, or the documents are larger than 2 GiB together.
    """
    write = native_encode.encode if codec() == "native" else encode_by_reference
    return write(batch, omit_nulls=omit_nulls)


def split_reply(raw: bytes) -> reply.Reply:
    """Find the documents in a raw reply without decoding them.

    Raises:
        Fatal: these bytes are not the reply of a command that returns a cursor.
    """
    split = native_decode.split_reply if codec() == "native" else reply.split_reply
    return split(raw)


def digests(documents: Documents, *, without_id: bool) -> npt.NDArray[np.uint64]:
    """Two numbers for each document; equal ones mean equal bytes (see `levada.bson.digest`).

    Args:
        documents: any bytes; a malformed document is digested as it is.
        without_id: digest the document without its first `_id`.

    Returns:
        uint64 [n, 2].
    """
    make = native_decode.digests if codec() == "native" else digest.digests
    return make(documents, without_id=without_id)


def values_at(documents: Documents, path: Sequence[bytes]) -> list[bytes | None]:
    """Type and value bytes at a path in each document (see `levada.bson.fields`).

    Args:
        path: names of fields, each but the last of a nested document.

    Returns:
        None where there is none before the first malformed element.
    """
    find = native_decode.values_at if codec() == "native" else fields.values_at
    return find(documents, path)


def differences(old: Documents, new: Documents) -> list[bytes | None]:
    """What has to be set in each old document to become the new one, as elements of `$set`.

    Args:
        old, new: as many documents, all without `_id`.

    Returns:
        None where `$set` can't do it: other names or another order of them, a name that comes twice, is a
        path or an operator, a malformed document.
    """
    find = native_decode.differences if codec() == "native" else fields.differences
    return find(old, new)
