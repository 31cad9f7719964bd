"""Rows of a result as people and machines want them: a table, JSON, CSV, a Parquet file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levada.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

Row = Sequence[Any]


def unique(names: Iterable[str]) -> list[str]:
    """The names, each of them once: a second `n` is `n_2`."""
    taken: list[str] = []
    for name in names:
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        taken.append(free)
    return taken


def write_json(names: Sequence[str], rows: Iterable[Row], texts: frozenset[int]) -> None:
    """One JSON array of objects, a row in a line; times in ISO 8601, decimals and bytes (base64) as text.

    Args:
        texts: numbers of the columns that hold JSON text, which is written as what it stands for.
    """
    keys, before = unique(names), "["
    for row in rows:
        cells = [json.loads(cell) if at in texts and cell else cell for at, cell in enumerate(row)]
        document = {key: _json(cell) for key, cell in zip(keys, cells, strict=True)}
        click.echo(f"{before}\n  {json.dumps(document, ensure_ascii=False)}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """CSV with a header, as Levada writes it into files; NULL is an empty cell, an empty text is quoted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from levada.connectors.files.cells import cells, pieces, quoted_cells

    click.echo(",".join(quoted_cells(pa.array(unique(schema.names), pa.string()), ",").to_pylist()))
    for batch in batches:
        for part in pieces(batch):
            columns = [
                quoted_cells(cells(column, field), ",").fill_null("")
                for column, field in zip(part.columns, part.schema, strict=True)
            ]
            if len(part):
                click.echo("\n".join(pc.binary_join_element_wise(*columns, ",").to_pylist()))


def write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    """A Parquet file, which is there only once it is whole; returns how many rows it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [field.with_name(name) for field, name in zip(schema, unique(schema.names), strict=True)]
    )
    draft, rows = path.with_name(f".{path.name}.part"), 0
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}", hint="make it first")
    try:
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
                rows += batch.num_rows
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return rows


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return next((write(value) for kind, write in _PLAIN.items() if isinstance(value, kind)), value)


def _float(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


_PLAIN: dict[type, Callable[[Any], Any]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    Decimal: str,
    bytes: lambda value: base64.b64encode(value).decode(),
    float: _float,
}
