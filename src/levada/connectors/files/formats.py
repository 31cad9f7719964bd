"""Formats and compressions, and how a file's name says them: `orders.csv.gz`."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How rows lie in a file."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    EJSON = "ejson"


class Compression(StrEnum):
    """How a file of text is compressed; Parquet compresses by itself."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


#: Extension -> format. The first of a format is the one that new files get.
EXTENSIONS = {
    "parquet": Format.PARQUET,
    "csv": Format.CSV,
    "jsonl": Format.JSONL,
    "ndjson": Format.JSONL,
    "ejson": Format.EJSON,
}

#: Extension behind the format's -> compression.
COMPRESSIONS = {"gz": Compression.GZIP, "zst": Compression.ZSTD}


def by_name(name: str) -> tuple[Format | None, Compression]:
    """What a file's name says of it: `a.csv.gz` is CSV in gzip; a format it doesn't name is None."""
    stem, _, last = name.lower().rpartition(".")
    compression = COMPRESSIONS.get(last, Compression.NONE)
    if compression is not Compression.NONE:
        stem, _, last = stem.rpartition(".")
    found = EXTENSIONS.get(last) if stem else None
    if found is Format.PARQUET and compression is not Compression.NONE:
        return None, compression
    return found, compression


def extension(kind: Format, compression: Compression) -> str:
    """What the names of new files end with: `csv.gz`."""
    first = next(name for name, found in EXTENSIONS.items() if found is kind)
    packed = next((name for name, found in COMPRESSIONS.items() if found is compression), None)
    return f"{first}.{packed}" if packed and kind is not Format.PARQUET else first
