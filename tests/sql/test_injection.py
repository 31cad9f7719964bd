"""Hostile texts and names are data: as values, parameters, columns, aliases, tables they change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from levada.sql import Field, FixedCatalog, Plan, SqlError, TableSchema
from levada.sql import compile as compile_sql
from levada.sql.types import INTEGER, VARCHAR, struct

from .answers import of_plan

TEXTS = {
    "operator": "$where",
    "root": "$$ROOT",
    "remove": "$$REMOVE",
    "path": "$total",
    "nested path": "$a.b",
    "dot": "a.b",
    "dots": "..",
    "dollar": "$",
    "quote": "it's",
    "double quote": 'a"b',
    "backtick": "a`b",
    "nul": "a\0b",
    "document": '{"$ne": null}',
    "literal": '{"$literal": 1}',
    "second statement": "'; drop table t; --",
    "comment": "/* a */ -- b",
    "backslash": "a\\b\\",
    "placeholder": "%s ? $1 :x {0}",
    "regular expression": ".*(a+)+$",
    "long": "x" * 100_000,
    "right to left": "\u202eabc\u202c",
    "zero width": "a\u200b\u200d\ufeffb",
    "combining": "a\u0308",
    "astral": "\U0001f469\u200d\U0001f467",
    "empty": "",
    "space": " ",
    "own word": "levada: more than one row",
    "own id": "c1",
    "identity": "_id",
    "prototype": "__proto__",
}
#: Names that BSON allows for a field.
NAMES = {name: text for name, text in TEXTS.items() if "\0" not in text and text != "_id" and len(text) < 100}
#: Names that MongoDB allows for a collection.
COLLECTIONS = {
    name: text
    for name, text in NAMES.items()
    if "$" not in text and text and not text.startswith(".") and not text.endswith(".")
}

texts = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
names = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Tables:
    """A database, and what may be asked of it."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self.database = database
        self._tables: list[TableSchema] = []

    def add(
        self, name: str, fields: list[Field], documents: list[dict[str, Any]], collection: str = ""
    ) -> None:
        self.database[collection or name].insert_many(documents)
        self._tables.append(TableSchema(name, tuple(fields), collection, rows=len(documents)))

    def ask(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """The rows; nothing else may change."""
        before = self.state()
        answer = of_plan(self.database, self.compile(sql, parameters))
        assert self.state() == before
        return answer.rows

    def compile(self, sql: str, parameters: Any = ()) -> Plan:
        return compile_sql(sql, FixedCatalog.of(*self._tables), parameters)

    def state(self) -> tuple[int, int, int]:
        stats = self.database.command("dbStats")
        return stats["collections"], stats["objects"], stats["dataSize"]


@pytest.fixture(scope="module", params=[True, False], ids=["proven", "unproven"])
def held(mongo: MongoClient[dict[str, Any]], request: pytest.FixtureRequest) -> Iterator[Tables]:
    """Tables that hold every text as a value, as a name of a column, of a struct's field, and of a table."""
    database = mongo[f"test_injection_{uuid4().hex[:12]}"]
    tables, proven = Tables(database), bool(request.param)
    documents = [{"id": number, "s": text, "total": "other"} for number, text in enumerate(TEXTS.values())]
    documents += [{"id": -1, "s": None, "total": "other"}, {"id": -2, "total": "other"}]
    kinds = {"id": INTEGER, "s": VARCHAR, "total": VARCHAR}
    tables.add("t", [Field(name, kind, True, proven) for name, kind in kinds.items()], documents)
    columns = ["n", *NAMES.values()]
    tables.add(
        "wide",
        [Field(name, INTEGER, True, proven) for name in columns],
        [{"n": row, **dict.fromkeys(NAMES.values(), held)} for row, held in ((1, 10), (2, 20), (3, None))]
        + [{"n": 4}],
    )
    inner = struct(*((name, INTEGER) for name in NAMES.values()))
    tables.add("deep", [Field("st", inner, True, proven)], [{"st": dict.fromkeys(NAMES.values(), 5)}, {}])
    for name in COLLECTIONS.values():
        tables.add(name, [Field("n", INTEGER, True, proven)], [{"n": 1}, {"n": 2}])
    for number, name in enumerate(NAMES.values()):
        if name and name not in COLLECTIONS.values():
            tables.add(name, [Field("n", INTEGER, True, proven)], [{"n": 1}, {"n": 2}], f"plain {number}")
    yield tables
    mongo.drop_database(database.name)


@texts
def test_a_text_in_the_query_is_only_a_text(held: Tables, text: str) -> None:
    one, number = quoted(text), list(TEXTS.values()).index(text)
    assert held.ask(f"select {one}") == [(text,)]
    assert held.ask(f"select id, s from t where s = {one}") == [(number, text)]
    assert held.ask(f"select id from t where s in ({one}, 'nowhere')") == [(number,)]
    assert held.ask(f"select count(*) from t where s <> {one}") == [(len(TEXTS) - 1,)]
    assert held.ask(f"select case when s = {one} then {one} else 'no' end from t where id = {number}") == [
        (text,)
    ]
    assert held.ask(f"select coalesce(s, {one}) from t where id < 0") == [(text,), (text,)]
    assert held.ask(f"select max({one}), count(*) from t where id >= {number} group by {one}") == [
        (text, len(TEXTS) - number)
    ]


@texts
def test_a_text_in_a_function_is_only_a_text(held: Tables, text: str) -> None:
    one, number = quoted(text), list(TEXTS.values()).index(text)
    assert held.ask(f"select s || {one} from t where id = {number}") == [(text + text,)]
    assert held.ask(f"select length({one}), upper({one}) = upper(s) from t where id = {number}") == [
        (len(text), True)
    ]
    assert (number,) in held.ask(f"select id from t where starts_with(s, {one})")
    assert (number,) in held.ask(f"select id from t where contains(s, {one})")
    if text:
        assert held.ask(f"select replace(s, {one}, '-') from t where id = {number}") == [("-",)]


@texts
def test_a_parameter_is_only_a_value(held: Tables, text: str) -> None:
    number = list(TEXTS.values()).index(text)
    assert held.ask("select id, s, ? from t where s = ?", [text, text]) == [(number, text, text)]
    assert held.ask("select id from t where s = $wanted", {"wanted": text}) == [(number,)]


@pytest.mark.parametrize("value", [{"$ne": None}, {"$gt": ""}, object()])
def test_a_document_is_no_parameter(held: Tables, value: Any) -> None:
    with pytest.raises(SqlError):
        held.ask("select id from t where s = ?", [value])


@names
def test_a_name_of_a_column_is_only_a_name(held: Tables, name: str) -> None:
    one = named(name)
    told = [(20, 2), (10, 1), (None, 3), (None, 4)]
    assert held.ask(f"select {one}, n from wide order by {one} desc nulls last, n") == told
    assert held.ask(f"select n from wide where {one} = 20") == [(2,)]
    assert held.ask(f"select n from wide where {one} is null order by n") == [(3,), (4,)]
    assert held.ask(f"select n from wide where {one} + 1 > 11 and {one} in (10, 20)") == [(2,)]
    assert held.ask(f"select sum({one}), count({one}) from wide") == [(30, 2)]
    folded = [(None, 7), (10, 1), (20, 2)]
    assert held.ask(f"select {one}, sum(n) from wide group by {one} order by 1 nulls first") == folded
    assert held.ask(f"select a.n from wide a join wide b on a.{one} = b.{one} order by 1") == [(1,), (2,)]
    assert held.ask(f"select n from wide where {one} = (select max({one}) from wide)") == [(2,)]
    assert held.ask(f"select distinct {one} from wide order by 1") == [(10,), (20,), (None,)]
    windows = [(1, 1), (2, 2), (3, 7), (4, 7)]
    assert held.ask(f"select n, sum(n) over (partition by {one}) from wide order by n") == windows


@names
def test_a_name_inside_a_struct_is_only_a_name(held: Tables, name: str) -> None:
    one = named(name)
    assert held.ask(f"select (st).{one} from deep where (st).{one} = 5") == [(5,)]
    assert held.ask(f"select sum((st).{one}) from deep") == [(5,)]
    assert held.ask("select st from deep where st is not null")[0][0][name] == 5


@pytest.mark.parametrize("name", [text for text in TEXTS.values() if text])
def test_an_alias_is_only_a_name(held: Tables, name: str) -> None:
    one = named(name)
    plan = held.compile(f"select n as {one}, n + 1 as {one} from wide")
    assert [column.name for column in plan.columns] == [name, name]
    assert held.ask(f"select n as {one} from wide order by {one} desc limit 1") == [(4,)]
    assert held.ask(f"select sum({one}) from (select n as {one} from wide) q where {one} > 3") == [(4,)]
    assert held.ask(f"with w as (select n as {one} from wide) select {one} from w where {one} = 2") == [(2,)]
    assert held.ask(f"select {one}.n from wide {one} where {one}.n = 2") == [(2,)]


@pytest.mark.parametrize("name", [name for name in NAMES.values() if name])
def test_a_name_of_a_table_is_only_a_name(held: Tables, name: str) -> None:
    one = named(name)
    assert held.ask(f"select sum(n) from {one}") == [(3,)]
    assert held.ask(f"select a.n from {one} a join {one} b on a.n = b.n where b.n > 1") == [(2,)]
    both = f"select n from {one} where n > 1 union all select n from {one} where n < 2"
    assert held.ask(both) == [(2,), (1,)]
    assert held.ask(f"select {one}.n from {one} where n = 1") == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1; select 2",
        "select 1; drop table t",
        "drop table t",
        "delete from t",
        "insert into t values (1)",
        "update t set id = 1",
        "create table u as select 1",
        "attach 'file.db'",
        "copy t to 'file'",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from system.users",
        "pragma version",
    ],
)
def test_only_one_query_over_known_tables_is_compiled(held: Tables, sql: str) -> None:
    before = held.state()
    with pytest.raises(SqlError):
        held.ask(sql)
    assert held.state() == before
