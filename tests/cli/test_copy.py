"""`levada copy`: progress, profile, resume."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bson import ObjectId
from pymongo import MongoClient

from levada.cli.output import Meter
from levada.connectors.base import Estimate
from levada.errors import Retriable

from .conftest import Levada


@pytest.fixture
def source(mongo: MongoClient[Any], mongod: str, database: str) -> str:
    mongo[database]["orders"].insert_many([{"_id": at, "total": at / 2} for at in range(3_000)])
    host = mongod.removeprefix("mongodb://").split("/")[0]
    return f"mongodb://{host}/{database}.orders?directConnection=true"


def test_progress_says_how_fast_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([0.0, 10.0, 50.0])
    meter = Meter(every=30, clock=lambda: next(moments))
    meter.expect(Estimate(rows=5_000, row_bytes=100))
    meter(500, 50_000)
    assert capsys.readouterr().err == ""
    meter(2_000, 200_000_000)
    assert capsys.readouterr().err == "2,500 rows, 50 rows/s, 4.0 MB/s, 50%, about 50 s left\n"


def test_rows_that_an_earlier_process_moved_count_as_done_but_not_as_fast(
    capsys: pytest.CaptureFixture[str],
) -> None:
    moments = iter([0.0, 1.0, 40.0])
    meter = Meter(every=30, clock=lambda: next(moments))
    meter.expect(Estimate(rows=4_000))
    meter(3_000, 0)
    meter(400, 40_000_000)
    assert capsys.readouterr().err == "3,400 rows, 10 rows/s, 1.0 MB/s, 85%, about 60 s left\n"


def test_a_profile_says_where_the_time_went(levada: Levada, source: str, tmp_path: Path) -> None:
    found = levada("copy", source, f"file://{tmp_path}/lake/orders", "--profile")
    assert found.code == 0
    assert found.out.startswith("3,000 rows in ")
    for part in ("server", "read", "decode", "encode", "write", "commit"):
        assert f"\n{part} " in found.out
    timings = levada("copy", source, f"file://{tmp_path}/lake/orders", "--mode", "replace", "--json").json[
        "timings"
    ]
    assert {"read", "decode", "encode", "write", "commit"} <= timings.keys()
    assert all(seconds >= 0 for seconds in timings.values())


def test_a_copy_that_has_ended_is_not_done_twice(levada: Levada, source: str, tmp_path: Path) -> None:
    target = f"file://{tmp_path}/lake/orders"
    assert levada("copy", source, target, "--resume").out.startswith("3,000 rows")
    again = levada("copy", source, target, "--resume")
    assert again.code == 0
    assert "this copy had been committed before" in again.out
    assert levada("copy", source, target, "--json").json["rows"] == 3_000  # append: once more


def test_an_upsert_says_that_resume_began_anew(levada: Levada, source: str, tmp_path: Path) -> None:
    arguments = ("copy", source, f"file://{tmp_path}/lake/t", "--mode", "upsert", "--key", "_id")
    assert "from the beginning" not in levada(*arguments).out
    again = levada(*arguments, "--resume").out
    assert again.startswith("3,000 rows")
    assert "from the beginning: an upsert keeps no checkpoints" in again


def test_what_cannot_be_resumed_says_so(levada: Levada, source: str, tmp_path: Path) -> None:
    found = levada("copy", source, f"file://{tmp_path}/orders.csv", "--mode", "replace", "--resume")
    assert found.code == 2
    assert "can't be resumed" in found.err
    assert not (tmp_path / "orders.csv").exists()


def test_arrays_become_rows_or_text(
    levada: Levada, mongo: MongoClient[Any], mongod: str, database: str, tmp_path: Path
) -> None:
    mongo[database]["carts"].insert_many(
        [{"_id": at, "items": [{"sku": f"s{n}"} for n in range(at)], "tags": [at]} for at in range(4)]
    )
    host = mongod.removeprefix("mongodb://").split("/")[0]
    source, target = (
        f"mongodb://{host}/{database}.carts?directConnection=true",
        f"file://{tmp_path}/lake/carts",
    )
    found = levada("copy", source, target, "--explode", "items", "--as-json", "tags")
    assert found.code == 0
    assert found.out.startswith("4 rows in ")
    assert "6 rows of items" in found.out
    back = levada("copy", f"{target}__items", f"file://{tmp_path}/items.ejson", "--mode", "replace")
    assert back.out.startswith("6 rows in ")
    refused = levada("copy", source, target, "--mode", "upsert", "--key", "_id", "--explode", "items")
    assert refused.code == 2
    assert "elements that are gone" in refused.err


@pytest.mark.parametrize("options", [("--where", "total >= 0"), ("--columns", "_id")])
def test_an_append_that_may_have_been_committed_is_not_begun_again_by_resume(
    levada: Levada, source: str, tmp_path: Path, options: tuple[str, str]
) -> None:
    target = f"file://{tmp_path}/lake/orders"
    assert levada("copy", source, target, *options).code == 0
    again = levada("copy", source, target, *options, "--lanes", "2", "--resume")
    if options[0] == "--where":  # such a copy kept no checkpoints
        assert again.code == 2
        assert "no stopped copy of the same" in again.err
    else:
        assert "this copy had been committed before" in again.out
    assert levada("copy", target, f"file://{tmp_path}/n.jsonl", "--json").json["rows"] == 3_000


def test_the_slower_codec_says_so_once(
    levada: Levada, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVADA_CODEC", "reference")
    found = levada("copy", source, f"file://{tmp_path}/lake/orders")
    assert found.err.count("levada[native]") == 1
    assert found.out.startswith("3,000 rows")


def test_rejected_records_are_told_with_their_reasons(levada: Levada, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"a": 1}\n{"a": \nnot json\n' + "{\n" * 7)
    found = levada("copy", f"file://{tmp_path}/in.jsonl", f"file://{tmp_path}/lake/rows")
    assert found.code == 1
    assert found.out.startswith("1 row in ")
    assert "9 rejected" in found.out
    assert found.err.count("rejected: ") == 5
    assert "line 2" in found.err
    assert "and 4 more" in found.err
    machine = levada("copy", f"file://{tmp_path}/in.jsonl", f"file://{tmp_path}/lake/rows", "--json").json
    assert len(machine["reasons"]) == 5
    assert "quarantine" not in machine["note"]


@pytest.mark.parametrize(
    ("target", "hint"),
    [("file:///tmp/x/a.json", ".jsonl"), ("/tmp/x/a.csv", "file:///"), ("./a.b", "file:///")],
)
def test_a_target_that_means_something_else_is_refused(levada: Levada, target: str, hint: str) -> None:
    found = levada("copy", "file:///tmp/nothing.jsonl", target)
    assert found.code == 2
    assert hint in found.err


def test_a_resumed_copy_says_where_it_went_on(
    levada: Levada, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"file://{tmp_path}/lake/orders"
    monkeypatch.setattr("levada.connectors.lake.draft.CHECKPOINT_BYTES", 1)
    with monkeypatch.context() as broken:
        broken.setattr("levada.connectors.lake.commit.Commit.run", refuse)
        assert levada("copy", source, target).code == 1
    found = levada("copy", source, target, "--resume")
    assert "went on behind 3,000 rows" in found.out


def refuse(_: object) -> None:
    raise Retriable("the lake is away")


@pytest.fixture
def warehouse(tmp_path: Path, mongod: str, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a DuckDB warehouse and a MongoDB `shop`, in the folder that commands run in."""
    with duckdb.connect(str(tmp_path / "wh.duckdb")) as there:
        there.execute(
            "create table customer_scores as select i as customer_id, md5(i::varchar)[1:24] as ref,"
            " i / 8 as churn_score, 'x' as unused from range(10) t(i)"
        ).fetchall()
    (tmp_path / "levada.yml").write_text(
        "format: 1\nname: test\nconnections:\n  warehouse: {type: duckdb, path: wh.duckdb}\n"
        f"  shop: {{type: mongodb, uri: '{mongod}', database: {database}}}\n"
    )
    (tmp_path / "scores.yml").write_text(
        "customer_id: customer_id\nref: {column: ref, type: object_id}\nscores: {churn: churn_score}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


REVERSE = ("copy", "warehouse.customer_scores", "shop.customers", "--mode", "upsert", "--key", "customer_id")


def test_rows_of_a_warehouse_become_documents(
    levada: Levada, warehouse: Path, mongo: MongoClient[Any], database: str
) -> None:
    for _ in range(2):
        done = levada(*REVERSE, "--shape", "scores.yml", "--json")
        assert (done.code, done.json["rows"]) == (0, 10)
    found = list(mongo[database].customers.find({}, {"_id": 0}, sort=[("customer_id", 1)]))
    assert [row["scores"] for row in found] == [{"churn": number / 8} for number in range(10)]
    assert found[3]["ref"] == ObjectId(hashlib.md5(b"3").hexdigest()[:24])


def test_a_dry_run_tells_fields_and_columns_that_are_left_out(
    levada: Levada, warehouse: Path, mongo: MongoClient[Any], database: str
) -> None:
    told = levada(*REVERSE, "--shape", "scores.yml", "--dry-run")
    assert "fields of the documents: customer_id, ref, scores.churn\n" in told.out
    assert "columns that the shape leaves out: unused\n" in told.out
    assert mongo[database].list_collection_names() == []


def test_a_query_takes_the_place_of_the_table(
    levada: Levada, warehouse: Path, mongo: MongoClient[Any], database: str
) -> None:
    sql = "select 'all' as name, count(*) as n from customer_scores"
    told = levada("copy", "warehouse.q", "shop.totals", "--sql", sql, "--where", "n > 1", "--dry-run")
    assert (told.code, mongo[database].list_collection_names()) == (0, []), told.err
    wrong = levada("copy", "warehouse.q", "shop.totals", "--sql", sql, "--columns", "m", "--dry-run")
    assert (wrong.code, "there is no column 'm'" in wrong.err) == (2, True)
    assert levada("copy", "warehouse.q", "shop.totals", "--sql", sql, "--where", "n > 1").code == 0
    assert mongo[database].totals.find_one({}, {"_id": 0}) == {"name": "all", "n": 10}
    refused = levada("copy", "warehouse.q", "shop.totals", "--sql", "drop table customer_scores")
    assert (refused.code, "not one SELECT" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("shape", "place", "what"),
    [
        ("a: b\nb: {column: c, typ: int}\n", "bad.yml:2 b.typ", "no option 'typ'"),
        ("- a\n", "bad.yml", "the file is a list"),
        ("a: churn\n", "warehouse.customer_scores", "no column 'churn'"),
        ("a: 'b\n", "bad.yml:", "malformed YAML"),
    ],
)
def test_a_shape_that_cannot_be_says_where(
    levada: Levada, warehouse: Path, shape: str, place: str, what: str
) -> None:
    (warehouse / "bad.yml").write_text(shape)
    refused = levada("copy", "warehouse.customer_scores", "shop.t", "--shape", "bad.yml")
    assert (refused.code, place in refused.err, what in refused.err) == (2, True, True), refused.err


class Terminal:
    """A standard error that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_time_is_told_while_no_row_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now = Terminal(), [0.0]
    monkeypatch.setattr("sys.stderr", terminal)
    meter = Meter(clock=lambda: now[0])
    now[0] = 1.5
    meter.beat()
    assert terminal.text == ""
    now[0] = 3.0
    meter.beat()
    assert "no rows yet, 3 s" in terminal.text
    meter(1_500, 10)
    terminal.text, now[0] = "", 4.0
    meter.beat()  # rows have just been told
    assert terminal.text == ""
    now[0] = 9.0
    meter.beat()
    assert "1,500 rows so far, 9 s" in terminal.text
    with meter:
        pass
    assert terminal.text.endswith("\r\x1b[K")


def test_rejected_rows_are_shown_with_the_reason_and_what_else_was_counted(
    levada: Levada, mongo: MongoClient[Any], mongod: str, database: str, tmp_path: Path
) -> None:
    mongo[database].create_collection("out", validator={"n": {"$lt": 2}})
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"_id": {n}, "n": {n}}}\n' for n in range(3)))
    host = mongod.removeprefix("mongodb://").split("/")[0]
    out = f"mongodb://{host}/{database}.out?directConnection=true"
    command = ("copy", f"file://{tmp_path}/rows.jsonl", out, "--mode", "upsert", "--key", "_id")
    assert levada(*command).out.endswith(", 1 rejected\n")
    found = levada(*command)
    assert found.code == 1
    assert found.out.endswith(", 1 rejected (2 unchanged)\n")
    assert found.err.startswith("rejected: not taken by the server (code 121)")
    assert found.err.endswith('{"n": {"$lt": 2}}: {"_id": 2, "n": 2}\n')
    assert levada(*command, "--json").json["records"] == ['{"_id": 2, "n": 2}']


def test_a_run_tells_what_was_unchanged(
    levada: Levada, mongod: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.jsonl").write_text('{"_id": 1}\n')
    (tmp_path / "levada.yml").write_text(
        f"""format: 1
name: counts
connections:
  db: {{type: mongodb, uri: "{mongod}", database: {database}}}
  in: {{type: files, path: in}}
state: {{connection: db, database: {database}}}
pipelines: {{p: {{steps: {{s: {{copy: {{from: in.rows.jsonl, to: db.out, mode: upsert, key: _id}}}}}}}}}}
"""
    )
    monkeypatch.chdir(tmp_path)
    assert "notes" not in levada("run", "p").out
    found = levada("run", "p")
    assert found.out.rstrip().endswith("1 unchanged")
    assert "1 row in" in found.err
    assert "(1 unchanged)" in found.err
