from typing import Any, Protocol, TypeAlias, final

#: Anything with the buffer protocol: bytes, memoryview, a NumPy array.
_Buffer: TypeAlias = Any

class _HasSchema(Protocol):
    def __arrow_c_schema__(self) -> object: ...

class _HasArray(Protocol):
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

@final
class Schema:
    """A schema that any Arrow library takes."""

    def __arrow_c_schema__(self) -> object: ...

@final
class RecordBatch:
    """Rows of decoded documents; any Arrow library takes them."""

    @property
    def num_rows(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

@final
class Encoded:
    """A binary array without nulls, one document a row; any Arrow library takes it."""

    def __len__(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

@final
class Decoder:
    """Decodes the documents of one read; its schema only widens.

    Args:
        schema: what is known beforehand; None when nothing is.

    Raises:
        NotImplementedError: the schema has Arrow types or labels that the decoder doesn't make itself.
    """

    def __init__(self, schema: _HasSchema | None = None) -> None: ...
    @property
    def schema(self) -> Schema: ...
    def decode(
        self, buffer: _Buffer, starts: _Buffer, ends: _Buffer
    ) -> tuple[RecordBatch, list[tuple[int, str]]]:
        """Decode the documents `buffer[start:end]`.

        Args:
            buffer: the bytes that hold all of them.
            starts: int64, where each document begins (its length prefix).
            ends: int64, one past each document's last byte.

        Returns:
            The rows of the sound documents by `schema`, which now holds them; place and reason of the others.

        Raises:
            OverflowError: the documents, or the text of one column, are larger than 2 GiB together.
        """

    def decode_reply(self, raw: _Buffer) -> tuple[RecordBatch, list[tuple[bytes, str]], int, bytes | None]:
        """Decode the documents of the raw reply of find, aggregate or getMore.

        Returns:
            The rows of the sound documents, the others with their reasons, the cursor's id (0 when it is
            exhausted), and the post-batch resume token as a raw document, None where there is none.

        Raises:
            ValueError: these bytes are not such a reply.
            OverflowError: the text of one column is larger than 2 GiB.
        """

@final
class Profile:
    """Collects what documents hold."""

    def __init__(self) -> None: ...
    def add(self, buffer: _Buffer, starts: _Buffer, ends: _Buffer) -> None:
        """Look at the documents `buffer[start:end]`; starts and ends are int64."""

    def result(self) -> tuple[int, dict[str, int], tuple[Any, ...]]:
        """Documents, how many were rejected for which reason, and what stands at the root."""

def digests(buffer: _Buffer, starts: _Buffer, ends: _Buffer, without_id: bool) -> bytes:
    """BLAKE2b with 16 bytes of each of the documents `buffer[start:end]`, one after the other.

    Args:
        starts, ends: int64.
        without_id: digest the document without its first `_id`, where it is sound up to there.

    Raises:
        ValueError: a document lies outside of the buffer.
    """

def encode(batch: _HasArray, omit_nulls: bool = False) -> tuple[Encoded, list[tuple[int, str]]]:
    """One BSON document for each row.

    Returns:
        The documents in the order of the rows, without the rejected ones; row and reason of those.

    Raises:
        NotImplementedError: a type has no BSON form here.
        OverflowError: the documents are larger than 2 GiB together.
        ValueError: the Arrow data is malformed.
    """

def split_reply(raw: _Buffer) -> tuple[int, bytes, bytes, bytes | None]:
    """Find the documents in the raw reply of find, aggregate or getMore.

    Returns:
        The cursor's id, where the documents begin and where they end (int64 as bytes), the post-batch resume
        token as a raw document, None where there is none.

    Raises:
        ValueError: these bytes are not such a reply.
    """

def validate(data: _Buffer) -> None:
    """Check that `data` is one sound document.

    Lengths, terminators, types, UTF-8 of strings and names, names that appear once, at most 200 levels.

    Raises:
        ValueError: it is not; the text says why.
    """

def values_at(buffer: _Buffer, starts: _Buffer, ends: _Buffer, path: list[bytes]) -> list[bytes | None]:
    """Type and value bytes at a path in each of the documents `buffer[start:end]`.

    None where there is none before the first malformed element.
    """

def differences(
    old: tuple[_Buffer, _Buffer, _Buffer], new: tuple[_Buffer, _Buffer, _Buffer]
) -> list[bytes | None]:
    """What has to be set in each old document to become the new one, as elements of `$set`.

    Args:
        old, new: buffer, starts, ends; as many documents, all without `_id`.

    Returns:
        None where `$set` can't do it: other names or another order of them, a name that comes twice, is a
        path or an operator, a malformed document.
    """
