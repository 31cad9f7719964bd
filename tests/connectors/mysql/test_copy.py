"""`levada copy` from MariaDB into a lake and into MongoDB, end to end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from deltalake import DeltaTable
from pymongo import MongoClient

from levada.cli import main

from .conftest import Legacy

Command = Callable[..., str]

ORDERS = """
SET sql_mode = '';
CREATE TABLE orders (order_id BIGINT UNSIGNED PRIMARY KEY, amount DECIMAL(12,2), status ENUM('open', 'done'),
                     placed DATETIME, day DATE, paid BIT(1), note TEXT);
INSERT INTO orders VALUES
(1, 10.10, 'done', '2026-11-22 10:00:00', '2026-11-22', 1, 'ação'),
(2, 20.20, 'done', '2026-11-23 00:00:00', '2026-11-23', 0, ''),
(3, NULL, 'open', '2026-11-23 23:59:59', '0000-00-00', NULL, NULL),
(18446744073709551615, -0.01, 'open', '2026-11-24 00:00:00', '2026-11-24', 1, 'x');
"""
LAST = 18446744073709551615


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs a command of Levada that must succeed; returns what it printed."""

    def call(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["levada", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code in (0, None), printed.err
        assert "p%40ss" not in printed.out + printed.err
        return printed.out

    return call


def lake(folder: Path) -> dict[int, dict[str, Any]]:
    rows = DeltaTable(str(folder)).to_pyarrow_table().to_pylist()
    return {int(row["order_id"]): row for row in rows}


def test_a_table_into_a_lake_value_for_value(shop: Legacy, command: Command, tmp_path: Path) -> None:
    shop.run(ORDERS)
    command("copy", shop.server.url("orders"), f"file://{tmp_path}/lake/orders")
    rows = lake(tmp_path / "lake" / "orders")
    assert set(rows) == {1, 2, 3, LAST}
    assert rows[1] == {
        "order_id": Decimal(1),
        "amount": Decimal("10.10"),
        "status": "done",
        "placed": datetime(2026, 11, 22, 10, tzinfo=UTC),
        "day": date(2026, 11, 22),
        "paid": True,
        "note": "ação",
        "day__text": None,
    }
    assert (rows[3]["day"], rows[3]["day__text"], rows[3]["amount"]) == (None, "0000-00-00", None)
    assert (rows[2]["note"], rows[3]["note"]) == ("", None)


def test_a_window_and_a_condition(shop: Legacy, command: Command, tmp_path: Path) -> None:
    shop.run(ORDERS)
    target = f"file://{tmp_path}/lake/orders"
    options = ["--time", "placed", "--window", "2026-11-23", "--where", "status = 'done'"]
    command("copy", shop.server.url("orders"), target, *options)
    assert set(lake(tmp_path / "lake" / "orders")) == {2}
    command("copy", shop.server.url("orders"), target, "--mode", "replace_window", *options[:4])
    assert set(lake(tmp_path / "lake" / "orders")) == {2, 3}


def test_a_table_into_mongodb_with_its_types(
    shop: Legacy, command: Command, mongod: str, mongo: MongoClient[Any], database: str
) -> None:
    shop.run(ORDERS)
    host = mongod.removeprefix("mongodb://").split("/")[0]
    target = f"mongodb://{host}/{database}.orders?directConnection=true"
    for _ in range(2):
        command("copy", shop.server.url("orders"), target, "--mode", "upsert", "--key", "order_id")
    found = {
        document["status"] + str(document["order_id"]): document for document in mongo[database].orders.find()
    }
    assert set(found) == {"done1", "done2", "open3", f"open{LAST}"}
    last = found[f"open{LAST}"]
    assert last["order_id"] == Decimal128(str(LAST))
    assert last["amount"] == Decimal128("-0.01")
    assert last["placed"] == datetime(2026, 11, 24, tzinfo=UTC)
    assert found["open3"]["day__text"] == "0000-00-00"


def test_a_query_in_the_servers_own_sql(shop: Legacy, command: Command, tmp_path: Path) -> None:
    shop.run(ORDERS)
    sql = "SELECT MAX(order_id) AS order_id, SUM(amount) AS amount FROM orders GROUP BY status"
    command("copy", shop.server.url("orders"), f"file://{tmp_path}/lake/sums", "--sql", sql)
    rows = lake(tmp_path / "lake" / "sums")
    assert {key: row["amount"] for key, row in rows.items()} == {2: Decimal("30.30"), LAST: Decimal("-0.01")}


PROJECT = """
format: 1
name: shop
connections:
  legacy:
    type: mysql
    host: 127.0.0.1
    port: {port}
    database: {database}
    user: reader
    password: ${{LEGACY_PASSWORD}}
  lake: {{type: lake, path: lake}}
  state: {{type: mongodb, uri: "{mongod}", database: {state}}}
state: {{connection: state, database: {state}}}
tables:
  legacy.orders: {{key: [order_id]}}
  lake.orders: {{key: [order_id]}}
"""


def test_only_what_is_new_since_the_last_time(
    shop: Legacy,
    command: Command,
    mongod: str,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop.run(
        "CREATE TABLE orders (order_id INT PRIMARY KEY, n INT); INSERT INTO orders VALUES (1, 1), (7, 2)"
    )
    settings = shop.server.settings()
    monkeypatch.setenv("LEGACY_PASSWORD", settings["password"])
    text = PROJECT.format(port=settings["port"], database=settings["database"], mongod=mongod, state=database)
    (tmp_path / "levada.yml").write_text(text)
    copy = ["copy", "legacy.orders", "lake.orders", "--since", "order_id", "--lag", "0s", "--start", "0"]
    command(*copy)
    assert {key: row["n"] for key, row in lake(tmp_path / "lake" / "orders").items()} == {1: 1, 7: 2}
    shop.run("INSERT INTO orders VALUES (8, 3); UPDATE orders SET n = 99 WHERE order_id = 1")
    command(*copy)  # what changed behind the watermark is not seen
    assert {key: row["n"] for key, row in lake(tmp_path / "lake" / "orders").items()} == {1: 1, 7: 2, 8: 3}
