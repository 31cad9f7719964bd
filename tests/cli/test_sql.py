"""`levada sql` over a real server, inside a project and without one."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bson import Decimal128
from pymongo import MongoClient

from .conftest import Levada

QUERY = "select status, count(*) as n, sum(total) as total from orders group by 1 order by 1"


@pytest.fixture
def url(mongod: str, mongo: MongoClient[dict[str, Any]], database: str) -> str:
    mongo[database].orders.insert_many(
        [
            {
                "_id": n,
                "status": "ab"[n % 2],
                "total": Decimal128(f"{n}.50"),
                "at": datetime(2026, 11, 23, tzinfo=UTC),
                "note": None if n else 'say "x", y',
                "mixed": {"a": [n]} if n else "text",
            }
            for n in range(6)
        ]
    )
    host, _, options = mongod.partition("/?")
    return f"{host.rstrip('/')}/{database}?{options}"


@pytest.fixture
def project(url: str, mongod: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "levada.yml").write_text(
        "format: 1\nname: test\nconnections:\n"
        f"  shop: {{type: mongodb, uri: '{mongod}', database: {database}}}\n"
        "  wh: {type: duckdb, path: wh.duckdb}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_people_get_a_table(levada: Levada, url: str) -> None:
    found = levada("sql", "-c", url, QUERY)
    assert (found.code, found.err) == (0, "")
    lines = [line.split() for line in found.out.splitlines()]
    assert lines == [["status", "n", "total"], ["a", "3", "7.50"], ["b", "3", "10.50"]]


def test_machines_get_json(levada: Levada, url: str) -> None:
    assert levada("sql", "-c", url, QUERY, "--json").json == [
        {"status": "a", "n": 3, "total": "7.50"},
        {"status": "b", "n": 3, "total": "10.50"},
    ]
    found = levada(
        "sql", "-c", url, "select at, mixed, 1 as a, 2 as a from orders where _id < 2", "--json"
    ).json
    assert found[0] == {"at": "2026-11-23T00:00:00+00:00", "mixed": "text", "a": 1, "a_2": 2}
    assert found[1]["mixed"] == {"a": [{"$numberInt": "1"}]}
    assert levada("sql", "-c", url, "select 1 as a from orders where false", "--json").json == []


def test_csv_is_quoted(levada: Levada, url: str) -> None:
    query = "select _id, note, '' as e, total from orders where _id < 2 order by 1"
    found = levada("sql", "-c", url, query, "--csv")
    assert found.out == '_id,note,e,total\n0,"say ""x"", y","",0.50\n1,,"",1.50\n'


def test_a_parquet_file_has_the_types(levada: Levada, url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    found = levada("sql", "-c", url, QUERY, "--parquet", str(file))
    assert (found.code, found.out, "2 rows in" in found.err) == (0, "", True)
    table = pq.read_table(file)
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", "decimal128(38, 2)"]
    assert table.num_rows == 2
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_query_that_fails_leaves_the_file_as_it_was(levada: Levada, url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"before")
    query = "select cast(status as integer) as x from orders"
    assert levada("sql", "-c", url, query, "--parquet", str(file)).code == 1
    assert file.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("form", ["--json", "--csv", ""])
def test_limit_cuts(levada: Levada, url: str, form: str) -> None:
    found = levada("sql", "-c", url, "select _id from orders order by 1", "--limit", "2", *form.split())
    assert "1" in found.out
    assert "2" not in found.out
    assert ("the first 2 rows" in found.err) is (not form)


def test_the_query_may_come_from_standard_input(
    levada: Levada, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 41 + 1 as n"))
    assert levada("sql", "-c", url, "-", "--json").json == [{"n": 42}]


def test_explain_shows_stages_and_indexes_and_runs_nothing(levada: Levada, url: str) -> None:
    found = levada("sql", "-c", url, "--explain", "select status from orders where _id = 3")
    assert found.code == 0
    assert "pipeline over orders:" in found.out
    assert "index _id_" in found.out
    assert "types by all 6 documents" in found.out
    json.loads(levada("sql", "-c", url, "--explain", "--json", QUERY).out)


def test_a_project_has_a_default_connection_and_addresses(levada: Levada, project: Path) -> None:
    expected = levada("sql", QUERY, "--json").json
    assert len(expected) == 2
    assert levada("sql", QUERY.replace("orders", "shop.orders"), "--json").json == expected
    assert levada("sql", "--connection", "shop", QUERY, "--json").json == expected


def test_which_connection_is_asked_where_several_might_be_meant(levada: Levada, project: Path) -> None:
    file = project / "levada.yml"
    file.write_text(
        file.read_text() + "  other: {type: mongodb, uri: 'mongodb://localhost:1', database: x}\n"
    )
    found = levada("sql", QUERY)
    assert (found.code, "there are shop, other" in found.err) == (2, True)
    assert levada("sql", QUERY.replace("orders", "shop.orders"), "--json").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-c", "wh", QUERY], "is duckdb"),
        (["-c", "nope", QUERY], "unknown connection 'nope'"),
        (["select totl from orders"], "line 1, column 8"),
        (["select 1 from ordes"], "orders"),
        (["delete from orders"], "error:"),
        (["--json", "--csv", QUERY], "exclude each other"),
    ],
)
def test_errors_say_what_and_where(levada: Levada, project: Path, arguments: list[str], says: str) -> None:
    found = levada("sql", *arguments)
    assert (found.code, found.out) == (2, "")
    assert says in found.err
    assert "Traceback" not in found.err


def test_without_a_project_a_url_is_asked_for(
    levada: Levada, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = levada("sql", "select 1")
    assert (found.code, "--connection mongodb://host/database" in found.err) == (2, True)


def test_a_password_is_never_shown(levada: Levada) -> None:
    found = levada(
        "sql", "-c", "mongodb://me:verysecret@127.0.0.1:1/x?serverSelectionTimeoutMS=100", "select a from t"
    )
    assert found.code == 1
    assert "verysecret" not in found.out + found.err


def test_its_help_imports_no_driver() -> None:
    code = (
        "import sys; sys.argv = ['levada', 'sql', '--help']\n"
        "from levada.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'pymongo', 'sqlglot', 'pyarrow', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
