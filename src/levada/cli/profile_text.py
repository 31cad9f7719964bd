"""A profile as people and machines read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pyarrow as pa

from levada.bson.paths import Path, TypeSeen
from levada.cli.look import ALL, FIRST, RANDOM, Look
from levada.observe import counted
from levada.types import kind_of

#: A type with a smaller share of a path's values than this is rare: what breaks a pipeline.
RARE = 0.01


def note(look: Look) -> str:
    """How many documents of how many were looked at, and how they were chosen."""
    seen = counted(look.documents, "document")
    matching = " that match" if look.selects else ""
    of_all = "" if look.total is None else f" of about {look.total:,}"
    ways = {
        ALL: f"all {seen}{matching}" if look.documents != 1 else f"the only document{matching}",
        RANDOM: f"{look.documents:,}{of_all} documents{matching}, a random sample",
        FIRST: f"the first {look.documents:,}{of_all} documents{matching}",
    }
    return f"{look.table}: {ways[look.way]}"


def document(look: Look, paths: list[Path]) -> dict[str, Any]:
    """The profile as JSON."""
    return {
        "table": str(look.table),
        "documents": look.documents,
        "total": look.total,
        "chosen": look.way,
        "rejected": dict(look.rejected),
        "paths": [_path(path) for path in paths],
    }


def _path(path: Path) -> dict[str, Any]:
    lengths = path.lengths
    arrays = next((one.count for one in path.types if one.name == "array"), 0)
    found: dict[str, Any] = {
        "path": path.path,
        "parents": path.parents,
        "values": path.seen,
        "nulls": path.nulls,
        "missing": path.missing,
        "types": [
            {"type": one.name, "count": one.count, "share": round(one.share, 6), "examples": one.examples}
            for one in path.types
        ],
    }
    if lengths:
        mean = lengths.sum / max(arrays, 1)
        found["lengths"] = {"least": lengths.least, "most": lengths.most, "mean": round(mean, 2)}
    return found | ({"folded": True} if path.folded else {})


def show(look: Look, paths: list[Path], width: int | None = None) -> None:
    """The profile as a table, and what is rare in it.

    Args:
        look: what was looked at.
        paths: of the profile.
        width: characters of a line; None for the terminal's.
    """
    from rich.console import Console
    from rich.table import Table

    click.echo(note(look) + "\n")
    console = Console(highlight=False, markup=False)
    console.width = width or (console.width if console.is_terminal else 200)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    rows = [_row(path) for path in paths]
    widths = [max(map(len, cells)) for cells in zip(_COLUMNS, *rows, strict=True)]
    left = console.width - sum(widths[:-1]) - _GAP * len(_COLUMNS)
    for place, name in enumerate(_COLUMNS[: None if left >= _LEAST else -1]):
        table.add_column(name, justify="right" if place in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*row[:-1], *([_cut(row[-1], left)] if left >= _LEAST else []))
    console.print(table)
    for line in _remarks(look, paths):
        click.echo(line)


_COLUMNS = ("path", "types", "missing", "null", "examples")
_NUMBERS = (2, 3)
_GAP = 2

#: With less room than this for examples there are none.
_LEAST = 10


def _row(path: Path) -> tuple[str, ...]:
    missing = "" if path.missing is None else _share(path.missing, path.parents)
    return path.path, _types(path), missing, _share(path.nulls, path.parents), _examples(path)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _types(path: Path) -> str:
    if not path.types:
        return "null"
    if len(path.types) == 1:
        return path.types[0].name + _lengths(path)
    return ", ".join(
        f"{one.name}{_lengths(path) if one.name == 'array' else ''} {_percent(one.share)}"
        for one in path.types
    )


def _lengths(path: Path) -> str:
    if path.lengths is None:
        return ""
    least, most = path.lengths.least, path.lengths.most
    return f" of {least}" if least == most else f" of {least}-{most}"


def _examples(path: Path) -> str:
    """The most frequent type's; the rare ones' come below."""
    return ", ".join(text for one in path.types[:1] for text in one.examples)


def _share(part: int, whole: int) -> str:
    return _percent(part / whole) if part and whole else ""


def _percent(share: float) -> str:
    if share < 0.0001:
        return "<0.01%"
    if 0.9999 < share < 1:
        return ">99.99%"
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + "%"


def rare(path: Path) -> list[TypeSeen]:
    """The types of a path that so few of its values have that a sample may miss them."""
    return [one for one in path.types if one.share < RARE]


def _remarks(look: Look, paths: list[Path]) -> Iterator[str]:
    found = [(path, one) for path in paths for one in rare(path)]
    if found:
        yield click.style("\nRare types, under 1% of a path's values:", bold=True)
    for path, one in found:
        examples = f": {', '.join(one.examples)}" if one.examples else ""
        yield f"  {path.path}  {one.name}, {one.count:,} of {path.seen - path.nulls:,}{examples}"
    folded = [path.path for path in paths if path.folded]
    if folded:
        yield f"\nToo many names to list, shown together as *: {', '.join(folded)}"
    if look.rejected:
        yield click.style("\nDocuments that can't be decoded:", bold=True)
    for reason, count in look.rejected.items():
        yield f"  {count:,}: {reason}"
    if look.way != ALL:
        yield "\nWhat is rarer than the sample shows is seen with --all, or a larger --sample."


def arrow_lines(schema: pa.Schema) -> Iterator[str]:
    """Fields, their types, and the BSON type where the Arrow type alone does not say it."""
    rows = [row for field in schema for row in _field(field, field.name, "")]
    wide = max((len(name) for name, _, _ in rows), default=0)
    long = max((len(kind) for _, kind, _ in rows), default=0)
    for name, kind, label in rows:
        yield f"{name:{wide}}  {kind:{long}}  {label}".rstrip()


def _field(field: pa.Field, name: str, indent: str) -> Iterator[tuple[str, str, str]]:
    arrow = field.type
    label = (field.metadata or {}).get(b"levada.bson", b"").decode() and kind_of(field)
    if pa.types.is_struct(arrow):
        yield indent + name, "struct", label
        for child in arrow:
            yield from _field(child, child.name, indent + "  ")
    elif pa.types.is_list(arrow):
        yield indent + name, "list", label
        yield from _field(arrow.value_field, "[]", indent + "  ")
    else:
        yield indent + name, str(arrow), label
