"""TPC-H's tables: made by `tpchgen-cli`, read by DuckDB as Parquet files, and held by MongoDB.

Source: TPC Benchmark H, revision 3.0.1, clause 1.4.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
from pymongo import MongoClient

import levada
from levada.sql.catalog import Field, FixedCatalog, Index, TableSchema
from levada.sql.types import BIGINT, DATE, INTEGER, VARCHAR, SqlType, decimal

QUERIES = Path(__file__).parent / "tpch"

_MONEY = decimal(15, 2)

#: Table -> column -> type; no column can be NULL.
TABLES: Mapping[str, Mapping[str, SqlType]] = {
    "region": {"r_regionkey": BIGINT, "r_name": VARCHAR, "r_comment": VARCHAR},
    "nation": {"n_nationkey": BIGINT, "n_name": VARCHAR, "n_regionkey": BIGINT, "n_comment": VARCHAR},
    "supplier": {
        "s_suppkey": BIGINT,
        "s_name": VARCHAR,
        "s_address": VARCHAR,
        "s_nationkey": BIGINT,
        "s_phone": VARCHAR,
        "s_acctbal": _MONEY,
        "s_comment": VARCHAR,
    },
    "customer": {
        "c_custkey": BIGINT,
        "c_name": VARCHAR,
        "c_address": VARCHAR,
        "c_nationkey": BIGINT,
        "c_phone": VARCHAR,
        "c_acctbal": _MONEY,
        "c_mktsegment": VARCHAR,
        "c_comment": VARCHAR,
    },
    "part": {
        "p_partkey": BIGINT,
        "p_name": VARCHAR,
        "p_mfgr": VARCHAR,
        "p_brand": VARCHAR,
        "p_type": VARCHAR,
        "p_size": INTEGER,
        "p_container": VARCHAR,
        "p_retailprice": _MONEY,
        "p_comment": VARCHAR,
    },
    "partsupp": {
        "ps_partkey": BIGINT,
        "ps_suppkey": BIGINT,
        "ps_availqty": INTEGER,
        "ps_supplycost": _MONEY,
        "ps_comment": VARCHAR,
    },
    "orders": {
        "o_orderkey": BIGINT,
        "o_custkey": BIGINT,
        "o_orderstatus": VARCHAR,
        "o_totalprice": _MONEY,
        "o_orderdate": DATE,
        "o_orderpriority": VARCHAR,
        "o_clerk": VARCHAR,
        "o_shippriority": INTEGER,
        "o_comment": VARCHAR,
    },
    "lineitem": {
        "l_orderkey": BIGINT,
        "l_partkey": BIGINT,
        "l_suppkey": BIGINT,
        "l_linenumber": INTEGER,
        "l_quantity": _MONEY,
        "l_extendedprice": _MONEY,
        "l_discount": _MONEY,
        "l_tax": _MONEY,
        "l_returnflag": VARCHAR,
        "l_linestatus": VARCHAR,
        "l_shipdate": DATE,
        "l_commitdate": DATE,
        "l_receiptdate": DATE,
        "l_shipinstruct": VARCHAR,
        "l_shipmode": VARCHAR,
        "l_comment": VARCHAR,
    },
}

#: Primary keys, and the foreign keys that are indexed besides.
_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "region": (("r_regionkey",),),
    "nation": (("n_nationkey",),),
    "supplier": (("s_suppkey",),),
    "customer": (("c_custkey",),),
    "part": (("p_partkey",),),
    "partsupp": (("ps_partkey", "ps_suppkey"),),
    "orders": (("o_orderkey",), ("o_custkey",)),
    "lineitem": (("l_orderkey", "l_linenumber"), ("l_partkey", "l_suppkey")),
}

#: Tables with a validator; the others' types are proven by nothing, and the scans check them.
VALIDATED = frozenset({"lineitem", "part", "supplier", "nation"})

_BSON = {"INTEGER": "int", "BIGINT": "long", "DECIMAL": "decimal", "DATE": "date", "VARCHAR": "string"}


def make(folder: Path, scale: float) -> None:
    """One Parquet file per table."""
    beside = Path(sys.executable).with_name("tpchgen-cli")
    command = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    assert command, "tpchgen-cli is missing: uv sync --group test"
    subprocess.run([command, "parquet", "-s", str(scale), "-o", str(folder), "-q"], check=True)


def attach(folder: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB with the tables in its memory."""
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(f"CREATE TABLE {table} AS FROM '{folder}/{table}.parquet'")
    return connection


def load(folder: Path, uri: str, database: str) -> None:
    """Fill a MongoDB database with the files; half of the tables have a validator."""
    server, _, options = uri.partition("/?")
    with MongoClient[dict[str, Any]](uri) as client:
        for table, columns in TABLES.items():
            rules = {"validator": _validator(columns)} if table in VALIDATED else {}
            client[database].create_collection(table, **rules)
            levada.copy(f"file://{folder}/{table}.parquet", f"{server}/{database}.{table}?{options}")
            for number, keys in enumerate(_KEYS[table]):
                client[database][table].create_index([(key, 1) for key in keys], unique=not number)


def _validator(columns: Mapping[str, SqlType]) -> dict[str, Any]:
    properties = {name: {"bsonType": _BSON[kind.name]} for name, kind in columns.items()}
    return {"$jsonSchema": {"required": list(columns), "properties": properties}}


def catalog(uri: str, database: str) -> FixedCatalog:
    """What is known of the tables, with their sizes."""
    with MongoClient[dict[str, Any]](uri) as client:
        stats = {table: client[database].command("collStats", table) for table in TABLES}
    return FixedCatalog.of(*(_schema(table, stats[table]) for table in TABLES))


def _schema(table: str, stats: Mapping[str, Any]) -> TableSchema:
    proven = table in VALIDATED
    return TableSchema(
        table,
        tuple(Field(name, kind, not proven, proven) for name, kind in TABLES[table].items()),
        indexes=tuple(
            Index("_".join(keys), tuple((key, 1) for key in keys), not number, frozenset())
            for number, keys in enumerate(_KEYS[table])
        ),
        rows=int(stats["count"]),
        bytes=int(stats.get("avgObjSize", 0)) or None,
    )
