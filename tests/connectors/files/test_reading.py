"""Files that others wrote: types are found without losing anything, bad lines are set aside."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.batches import Batch
from levada.connectors.base import Query, Table
from levada.connectors.files import FilesConnection
from levada.errors import ConfigError, Fatal
from levada.windows import Window

pytestmark = pytest.mark.unit


def read(folder: Path, name: str, query: Query | None = None, **options: Any) -> list[Batch]:
    settings_ = FilesConnection.settings_model.model_validate({"path": str(folder), **options})
    connection = FilesConnection("files", settings_, folder)
    return list(connection.source(Table("files", name), query or Query()).read(None, None))


def table(batches: list[Batch]) -> pa.Table:
    return pa.Table.from_batches([batch.data for batch in batches])


def reasons(batches: list[Batch]) -> list[tuple[bytes, str]]:
    return [(rejected.raw, rejected.reason) for batch in batches for rejected in batch.rejected]


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-5", ""], pa.int64(), [1, -5, None]),
        (["007", "1"], pa.string(), ["007", "1"]),
        (["9223372036854775807"], pa.int64(), [2**63 - 1]),
        (["9223372036854775808"], pa.decimal128(38, 0), [Decimal(2**63)]),
        (["-0", "1"], pa.string(), ["-0", "1"]),
        (["+1", "2"], pa.string(), ["+1", "2"]),
        (["1", "2.5"], pa.string(), ["1", "2.5"]),
        (["0.1", "2.5"], pa.float64(), [0.1, 2.5]),
        (["1.0", "-0.0"], pa.float64(), [1.0, -0.0]),
        (["1.50", "2.25"], pa.decimal128(38, 2), [Decimal("1.50"), Decimal("2.25")]),
        (["1.5", "2.25", "10.10"], pa.string(), ["1.5", "2.25", "10.10"]),
        (
            ["0.1000000000000000055511151231257827"],
            pa.decimal128(38, 34),
            [Decimal("0.1000000000000000055511151231257827")],
        ),
        (["1" * 39], pa.string(), ["1" * 39]),
        (["true", "false"], pa.bool_(), [True, False]),
        (["True", "false"], pa.string(), ["True", "false"]),
        (["2026-11-23T05:00:00.000Z"], pa.timestamp("ms", "UTC"), [datetime(2026, 11, 23, 5, tzinfo=UTC)]),
        (["2026-11-23T05:00:00Z"], pa.timestamp("s", "UTC"), [datetime(2026, 11, 23, 5, tzinfo=UTC)]),
        (["2026-11-23T05:00:00+01:00"], pa.string(), ["2026-11-23T05:00:00+01:00"]),
        (["2026-11-23"], pa.date32(), [datetime(2026, 11, 23).date()]),
        (["2026-02-30"], pa.string(), ["2026-02-30"]),
        (["1", '""'], pa.string(), ["1", ""]),
        (["", ""], pa.string(), [None, None]),
        (["nan", "1.5"], pa.string(), ["nan", "1.5"]),
    ],
)
def test_a_column_gets_a_type_only_where_every_value_comes_back_as_it_was(
    tmp_path: Path, cells: list[str], kind: pa.DataType, values: list[Any]
) -> None:
    (tmp_path / "t.csv").write_text("a,v\n" + "".join(f"x,{cell}\n" for cell in cells))
    found = table(read(tmp_path, "t.csv"))
    assert found.schema.field("v").type == kind
    assert found.column("v").to_pylist() == values


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=5)
            | st.integers().map(str)
            | st.floats().map(repr)
            | st.decimals(allow_nan=False).map(str)
            | st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}Z"),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_read_from_any_csv_is_written_again_letter_by_letter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    from levada.connectors.files.cells import cells

    folder = tmp_path_factory.mktemp("csv")
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    (folder / "t.csv").write_bytes(written.getvalue().encode())
    batches = read(folder, "t.csv")
    assert reasons(batches) == []
    found = table(batches).combine_chunks().to_batches()[0]
    texts = [
        cells(column, field).to_pylist() for column, field in zip(found.columns, found.schema, strict=True)
    ]
    assert [list(row) for row in zip(*texts, strict=True)] == rows


def test_a_file_longer_than_a_block_is_judged_by_all_of_it(tmp_path: Path) -> None:
    lines = "".join(f"{i},{'x' * 100}\n" for i in range(60_000))
    (tmp_path / "t.csv").write_text(f"id,text\n{lines}007,last\n")
    found = table(read(tmp_path, "t.csv"))
    assert found.schema.field("id").type == pa.string()
    assert found.column("id")[-1].as_py() == "007"
    assert len(found) == 60_001


def test_a_cell_longer_than_a_block_is_read(tmp_path: Path) -> None:
    long = "y" * 9_000_000
    (tmp_path / "t.csv").write_text(
        "id,text\n" + "".join(f"{i},z\n" for i in range(1000)) + f"7,{long}\n8,w\n"
    )
    found = table(read(tmp_path, "t.csv"))
    assert found.column("id").to_pylist() == [*range(1000), 7, 8]
    assert found.column("text")[1000].as_py() == long


def test_bad_lines_of_csv_are_set_aside_with_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(
        b'id,note\r\n1,"two\r\nlines"\r\n2\r\n3,c,d\r\nx,e\r\n\xff,f\r\n4,"say ""hi"""\r\n'
    )
    batches = read(tmp_path, "t.csv", columns={"t.csv": {"id": "int32"}})
    found = table(batches)
    assert found.to_pylist() == [{"id": 1, "note": "two\r\nlines"}, {"id": 4, "note": 'say "hi"'}]
    told = sorted(reason.split(":")[0] for _, reason in reasons(batches))
    assert told == [f"t.csv, line {number}" for number in (4, 5, 6, 7)]
    assert {raw for raw, _ in reasons(batches)} == {b"2", b"3,c,d", b"x,e", b"\xff,f"}


def test_a_quote_that_is_never_closed_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,note\n1,a\n2,"b\n3,c\n')
    batches = read(tmp_path, "t.csv")
    assert table(batches).column("id").to_pylist() == [1]
    assert [reason.split(":")[0] for _, reason in reasons(batches)] == ["t.csv, line 3"]


def test_bad_lines_of_json_are_set_aside_with_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(
        b'{"a":1}\n\n{"a":\n[1]\n{"a":1,"a":2}\n\xff\n{"a":{"$numberInt":"x"}}\n{"a":2}'
    )
    batches = read(tmp_path, "t.jsonl")
    assert table(batches).column("a").to_pylist() == [1, 2]
    told = [reason.split(":")[0] for _, reason in reasons(batches)]
    assert told == [f"t.jsonl, line {number}" for number in (3, 4, 5, 6, 7)]


def test_numbers_of_json_keep_every_digit(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        '{"i":2147483648,"d":0.1,"n":9007199254740993,"big":9223372036854775808,"e":0.1000000000000000000001}\n'
    )
    found = table(read(tmp_path, "t.jsonl"))
    assert found.to_pylist() == [
        {
            "i": 2**31,
            "d": 0.1,
            "n": 2**53 + 1,
            "big": Decimal(2**63),
            "e": Decimal("0.1000000000000000000001"),
        }
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("naïve;ção\r\né;1\r\n".encode(encoding))
    found = table(read(tmp_path, "t.csv", encoding=encoding, delimiter=";"))
    assert found.to_pylist() == [{"naïve": "é", "ção": 1}]


def test_types_of_the_settings_are_used(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,at,price,day\n1,2026-11-23T05:00:00+01:00,1.5,2026-11-23\n")
    types = {"id": "int32", "at": "date", "price": "decimal(10, 2)", "day": "day"}
    found = table(read(tmp_path, "t.csv", columns={"t.csv": types}))
    assert found.to_pylist() == [
        {
            "id": 1,
            "at": datetime(2026, 11, 23, 4, tzinfo=UTC),
            "price": Decimal("1.50"),
            "day": datetime(2026, 11, 23).date(),
        }
    ]


def test_a_folder_and_a_pattern_join_files_of_different_columns(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.csv").write_text("id,x\n1,one\n")
    (tmp_path / "in" / "b.jsonl").write_text('{"id":2,"y":true}\n')
    (tmp_path / "in" / "_SUCCESS").write_text("")
    (tmp_path / "in" / "deep" / "c.csv.gz").write_bytes(gzip.compress(b"id,x\n3,three\n"))
    first, second = {"id": 1, "x": "one", "y": None}, {"id": 2, "x": None, "y": True}
    assert table(read(tmp_path, "in")).to_pylist() == [first, second]
    assert table(read(tmp_path, "in/*.csv")).to_pylist() == [{"id": 1, "x": "one"}]
    deep = table(read(tmp_path, "in/**/*.csv*"))
    assert deep.column("id").to_pylist() == [1, 3]


def test_a_file_whose_format_nothing_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "README").write_text("x")
    with pytest.raises(ConfigError, match="README"):
        read(tmp_path, "in")
    with pytest.raises(ConfigError, match="there is no file"):
        read(tmp_path, "nothing.csv")


def test_a_damaged_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:-20])
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    for name in ("t.csv.gz", "t.parquet"):
        with pytest.raises(Fatal, match=name):
            read(tmp_path, name)


def test_a_window_is_cut_exactly_also_around_times_that_no_calendar_has(tmp_path: Path) -> None:
    far = 2**62
    (tmp_path / "t.jsonl").write_text(
        "".join(
            f'{{"k":{k},"t":{{"$date":{{"$numberLong":"{ms}"}}}}}}\n'
            for k, ms in enumerate([far, -far, 1795392000000, 1795478399999, 1795478400000])
        )
    )
    settings_ = FilesConnection.settings_model(path=str(tmp_path))
    source = FilesConnection("f", settings_, tmp_path).source(
        Table("f", "t.jsonl", time="t"), Query(columns=("k",))
    )
    day = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
    assert [k for batch in source.read(day, None) for k in batch.data.column("k").to_pylist()] == [2, 3]
