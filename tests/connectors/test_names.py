"""Names on their way: MongoDB to a lake or DuckDB and back gives every name back, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Int64
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from levada.batches import Batch
from levada.bson import Decoder, Documents, encode
from levada.connectors.base import Connection, Mode, Query, Table, Write
from levada.connectors.duckdb import DuckdbConnection, DuckdbSettings
from levada.connectors.lake import LakeConnection, LakeSettings, draft
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.errors import ConfigError, Retriable
from levada.positions import Position
from levada.types.names import Renaming, originals
from levada.windows import Window

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

ODD = [
    *("", " ", ".", "a.b", ".a", "a.", "$set", "$", "a b", "a;b", "a=b", "a,b", "(a)", "{a}", "[a]"),
    *("a\nb", "a\tb", "a\x01b", "a\x7fb", 'a"b', "a'b", "a`b", "a\\b", "a/b", "a:b", "%41", "*", "?", "#"),
    *("~", "<&>", "\ufeffa", "é", "É", "e\u0301", "😀", "𐐀", "𐐨", "ß", "SS", "\u1e9e", "ı", "I", "i", "İ"),
    *("\u212a", "k", "K", "\u202ea", "id", "ID", "Id", "iD", "a_x0020_b", "_x_", "_x005f_", "_x0020"),
    *("id__3843971dcfde", "ID__3843971dcfde", "_levada_", "_levada_empty", "_LEVADA_x", "v", "v__variant"),
    *("V__VARIANT", "__proto__", "constructor", "x" * 255, "x" * 256, "x" * 10_000, "X" * 10_000),
    *("é" * 5_000, "op", "ns", "day", "select", "list", "element"),
]  # fmt: skip

characters = st.characters(codec="utf-8", exclude_characters="\0")
names = (st.sampled_from(ODD) | st.text(characters, max_size=12)).filter("_id".__ne__)


def value_of(name: str, depth: int, draw: st.DrawFn) -> Any:
    """A value whose type hangs on the name alone, so that no column has two."""
    shape = (len(name) + depth) % 3 if depth < 3 else 0
    if shape == 0:
        return draw(st.integers(0, 9))
    inner = document(draw, depth + 1)
    return inner if shape == 1 else [inner, document(draw, depth + 1)]


def document(draw: st.DrawFn, depth: int) -> dict[str, Any]:
    chosen = draw(st.lists(names, unique=True, max_size=5))
    return {name: value_of(name, depth, draw) for name in chosen}


@st.composite
def batches(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Documents with an `_id`, in batches."""
    found = [document(draw, 0) for _ in range(draw(st.integers(1, 6)))]
    numbered = [{"_id": at, **one} for at, one in enumerate(found)]
    cut = draw(st.integers(0, len(numbered)))
    return [part for part in (numbered[:cut], numbered[cut:]) if part]


def there(value: Any) -> Any:
    """Without nulls and what is empty but for them: columns don't tell missing from null."""
    if isinstance(value, dict):
        return {name: there(inner) for name, inner in value.items() if inner is not None}
    return [there(inner) for inner in value] if isinstance(value, list) else value


def decoded(documents: list[dict[str, Any]], decoder: Decoder | None = None) -> pa.RecordBatch:
    raw = Documents.from_list([bson.encode(one) for one in documents])
    batch, rejected = (decoder or Decoder()).decode(raw)
    assert not rejected
    return batch


@dataclass
class Store:
    """A lake or a database in a folder of its own, and short ways to write and read its table."""

    connection: Connection
    table: Table = field(default_factory=lambda: Table("store", "t", key=("_id",)))

    def write(self, *batches: pa.RecordBatch, mode: Mode = Mode.APPEND, **write: Any) -> int:
        writer = self.connection.sink(self.table).open(Write(self.table, mode, "p/s", **write))
        for batch in batches:
            writer.write(Batch(batch))
        return writer.commit(None).rows

    def read(self, query: Query | None = None, window: Window | None = None) -> pa.Table:
        source = self.connection.source(self.table, query or Query())
        return pa.Table.from_batches([batch.data for batch in source.read(window, None)])

    def documents(self) -> list[dict[str, Any]]:
        """Its rows as a MongoDB sink encodes them, by `_id`."""
        found: list[dict[str, Any]] = []
        for batch in self.read().to_batches():
            column, rejected = encode(Renaming(originals).of(batch))
            assert not rejected
            found += [bson.decode(raw) for raw in column.to_pylist()]
        return sorted((there(one) for one in found), key=lambda one: one["_id"])


Make = Callable[[Path], Connection]


def lake_in(folder: Path, **given: Any) -> LakeConnection:
    return LakeConnection("store", LakeSettings(path="lake", **given), folder)


def duckdb_in(folder: Path) -> DuckdbConnection:
    return DuckdbConnection("store", DuckdbSettings(path="store.duckdb"), folder)


@pytest.fixture(params=[lake_in, duckdb_in], ids=["lake", "duckdb"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def store(make: Make, tmp_path: Path) -> Iterator[Store]:
    with closing(make(tmp_path)) as connection:
        yield Store(connection)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches(), st.sampled_from([Mode.APPEND, Mode.UPSERT]))
def test_documents_with_any_names_come_back(
    make: Make, parts: list[list[dict[str, Any]]], mode: Mode
) -> None:
    with TemporaryDirectory() as folder, closing(make(Path(folder))) as connection:
        store, decoder = Store(connection), Decoder()
        store.write(*(decoded(part, decoder) for part in parts), mode=mode)
        everything = [one for part in parts for one in part]
        assert store.documents() == there(everything)
        again = [{**one, "_id": one["_id"] + 100} for one in reversed(everything)]
        store.write(*(decoded([one]) for one in again), mode=mode)  # other schemas, in another order
        assert store.documents() == there([*everything, *reversed(again)])


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "a.b", "$set", "a b;=", "a\n", "a\x7fb", "a\"b'c`", "%41", "*", "ID", "é", "😀", "_x_"),
        *("_levada_x", "v__variant", "select", "x" * 10_000),
    ],
    ids=ascii,
)
def test_every_odd_name_can_be_a_key_a_time_and_a_column(store: Store, name: str) -> None:
    time = name + " at"
    store.table = Table("store", "t", key=(name,), time=time)
    rows = decoded([{"_id": 1, name: 7, time: NOON}, {"_id": 2, name: 8, time: NOON}])
    store.write(rows)
    assert store.write(rows.slice(1), mode=Mode.UPSERT) == 1
    assert store.write(rows.slice(0, 1), mode=Mode.REPLACE_WINDOW, window=DAY) == 1
    assert store.read(Query(columns=(name,)), DAY).column(0).to_pylist() == [7]


def test_every_odd_name_at_once(store: Store) -> None:
    whole = {"_id": 1, **{name: {name: [{name: at}]} for at, name in enumerate(ODD)}}
    store.write(decoded([whole]))
    store.write(decoded([{"_id": 2, **{name: whole[name] for name in reversed(ODD)}}]), mode=Mode.UPSERT)
    assert store.documents() == [whole, {**whole, "_id": 2}]


@pytest.mark.parametrize("mode", list(Mode))
def test_a_stored_name_stays_in_every_mode(store: Store, mode: Mode) -> None:
    store.table = Table("store", "t", key=("_id",), time="t")
    store.write(decoded([{"_id": 1, "t": NOON, "ID": 1, "s": {"B": 1}}]))
    window = DAY if mode is Mode.REPLACE_WINDOW else None
    store.write(
        decoded([{"_id": 1, "t": NOON, "id": 2, "ID": 3, "s": {"b": 4, "B": 5}}]), mode=mode, window=window
    )
    first = [name for name in store.read().schema.names if name.lower() == "id"]
    inner = [field.name for field in store.read().schema.field("s").type if len(field.name) == 1]
    assert (first, inner) == (["ID"], ["B"])


def test_a_condition_names_columns_as_they_are_stored(make: Make, tmp_path: Path) -> None:
    with closing(make(tmp_path)) as connection:
        store = Store(connection)
        store.write(decoded([{"_id": 1, "a.b": 1, "c d": 2}, {"_id": 2, "a.b": 2, "c d": 3}]))
        stored = "c d" if make is duckdb_in else "c_x0020_d"
        found = store.read(Query(columns=("c d", "_id"), where=f'"a.b" = 2 AND "{stored}" = 3'))
        assert found.to_pylist() == [{stored: 3, "_id": 2}]


def test_a_lake_is_partitioned_by_a_column_given_by_its_original_name(tmp_path: Path) -> None:
    rows = decoded([{"_id": 1, "made at": NOON, "the region": "eu"}])
    for partition, folder in [("the region", "the_x0020_region=eu"), ("day(made at)", "day=2026-11-23")]:
        table = Table("store", folder[:3], time="made at", partition_by=(partition,))
        store = Store(lake_in(tmp_path), table)
        store.write(rows)
        store.write(rows, mode=Mode.REPLACE_WINDOW, window=DAY)
        assert store.read(window=DAY).num_rows == 1
        (file,) = DeltaTable(str(tmp_path / "lake" / table.name)).file_uris()
        assert folder in file


@pytest.mark.parametrize("name", ["a:b", "x" * 200])
def test_a_name_no_folder_can_have_is_refused_as_a_partition(tmp_path: Path, name: str) -> None:
    store = Store(lake_in(tmp_path), Table("store", "t", partition_by=(name,)))
    with pytest.raises(ConfigError, match="no folder can be named after"):
        store.write(decoded([{"_id": 1, name: "x"}]))


def test_a_twin_of_the_generated_day_is_refused_by_name(tmp_path: Path) -> None:
    store = Store(lake_in(tmp_path), Table("store", "t", partition_by=("day(t)",)))
    with pytest.raises(ConfigError, match="'Day' of their own"):
        store.write(decoded([{"_id": 1, "t": NOON, "Day": 1}]))


def test_old_rows_are_pruned_by_the_original_name_of_their_time(store: Store) -> None:
    store.write(decoded([{"_id": 1, "made at": NOON}, {"_id": 2, "made at": NOON.replace(day=25)}]))
    assert store.connection.delete_before(store.table, "made at", DAY.end) == 1  # type: ignore[attr-defined]
    assert [one["_id"] for one in store.documents()] == [2]


def test_a_field_named_like_a_side_column_keeps_its_values(tmp_path: Path) -> None:
    store = Store(lake_in(tmp_path, on_type_change="variant"))
    store.write(decoded([{"_id": 1, "v": 1, "v__variant": "mine"}]))
    store.write(decoded([{"_id": 2, "v": "two", "V__variant": "other"}]))
    first, second = sorted(store.read().to_pylist(), key=lambda row: row["_id"])
    assert (first["v"], first["v__variant"], second["v"], second["v__variant"]) == (1, None, None, '"two"')
    side = f"v__variant__{sha256(b'v__variant').hexdigest()[:12]}"
    assert store.documents() == [
        {"_id": 1, "v": 1, "v__variant": "mine"},
        {"_id": 2, "V__variant": "other", side: "two"},
    ]
    store.write(decoded([{"_id": 3, "v__variant": "still mine"}]))
    assert store.documents()[2] == {"_id": 3, "v__variant": "still mine"}


def test_a_side_column_holds_original_names(tmp_path: Path) -> None:
    store = Store(lake_in(tmp_path, on_type_change="variant"))
    store.write(decoded([{"_id": 1, "v": {"a b": 1}}]))
    store.write(decoded([{"_id": 2, "v": {"a b": "x"}}, {"_id": 3, "v": {"a b": 2}}]))
    rows = sorted(store.read().to_pylist(), key=lambda row: row["_id"])
    assert [row["v"] for row in rows] == [{"a_x0020_b": 1}, None, {"a_x0020_b": 2}]
    assert [row["v__variant"] for row in rows] == [None, '{"a b":"x"}', None]


def test_a_resumed_copy_goes_on_with_the_names_it_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "CHECKPOINT_BYTES", 1)
    store = Store(lake_in(tmp_path))
    copy = Write(store.table, Mode.APPEND, "copy", checkpoints="all of it")
    sink: Any = store.connection.sink(store.table)
    killed = sink.open(copy)
    killed.write(Batch(decoded([{"_id": 1, "ID": 1, "s": {"B": 1}}]), Position({"": 1})))
    killed.abort()
    resumed = sink.open(replace(copy, resume=True))
    assert resumed.reached == Position({"": 1})
    resumed.write(Batch(decoded([{"_id": 2, "id": 2, "s": {"b": 2, "B": 3}}]), Position({"": 2})))
    resumed.commit(None)
    assert store.documents() == [
        {"_id": 1, "ID": 1, "s": {"B": 1}},
        {"_id": 2, "id": 2, "s": {"b": 2, "B": 3}},
    ]
    assert store.read().schema.names[:2] == ["_id", "ID"]


def test_a_lake_and_a_database_copied_into_each_other_keep_original_names(tmp_path: Path) -> None:
    documents = [{"_id": 1, **{name: {name: 1} for name in ODD}}]
    here, there = Store(lake_in(tmp_path)), Store(duckdb_in(tmp_path))
    here.write(decoded(documents))
    there.write(*here.read().to_batches(), mode=Mode.UPSERT)
    here.write(*there.read().to_batches(), mode=Mode.REPLACE)
    assert here.documents() == there.documents() == documents
    there.connection.close()


def test_a_writer_that_named_twins_otherwise_is_sent_back(store: Store) -> None:
    late = store.connection.sink(store.table).open(Write(store.table, Mode.APPEND, "late"))
    late.write(Batch(decoded([{"_id": 1, "ID": 1}, {"_id": 2, "id": 2}])))
    store.write(decoded([{"_id": 3, "id": 3}, {"_id": 4, "ID": 4}]))
    with pytest.raises(Retriable, match="named columns of this table differently"):
        late.commit(None)
    store.write(decoded([{"_id": 1, "ID": 1}, {"_id": 2, "id": 2}]))
    assert store.documents() == [
        {"_id": 1, "ID": 1},
        {"_id": 2, "id": 2},
        {"_id": 3, "id": 3},
        {"_id": 4, "ID": 4},
    ]


@dataclass
class Mongo:
    """One collection of the shared mongod."""

    client: MongoClient[dict[str, Any]]
    connection: MongoConnection
    database: str

    def insert(self, collection: str, documents: list[dict[str, Any]]) -> None:
        self.client[self.database].command({"insert": collection, "documents": documents})

    def find(self, collection: str) -> list[dict[str, Any]]:
        return list(self.client[self.database][collection].find(sort=[("_id", 1)]))

    def copy(self, source: Any, table: Table, target: Any, to: Table, **write: Any) -> None:
        writer = target.sink(to).open(Write(to, write.pop("mode", Mode.APPEND), "p/s", **write))
        for batch in source.source(table, Query()).read(None, None):
            assert not batch.rejected
            writer.write(batch)
        assert not writer.commit(None).rejected


@pytest.fixture
def mongodb(
    mongo: MongoClient[dict[str, Any]], mongod: str, database: str, tmp_path: Path
) -> Iterator[Mongo]:
    given = MongoSettings.model_validate({"uri": mongod, "database": database})
    with closing(MongoConnection("db", given, tmp_path)) as connection:
        yield Mongo(mongo, connection, database)


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.UPSERT])
def test_mongodb_gets_every_name_back(mongodb: Mongo, store: Store, mode: Mode) -> None:
    plain = {name: Int64(2**40 + at) for at, name in enumerate(ODD)}
    deep: dict[str, Any] = {name: {name: [{name: 1.5}]} for name in ODD}
    documents: list[dict[str, Any]] = [{"_id": 1, "d": plain, **plain}, {"_id": 2, "e": deep}]
    mongodb.insert("here", documents)
    here, back = (Table("db", name, key=("_id",)) for name in ("here", "back"))
    mongodb.copy(mongodb.connection, here, store.connection, store.table, mode=mode, key=("_id",))
    mongodb.copy(store.connection, store.table, mongodb.connection, back, mode=mode, key=("_id",))
    assert there(mongodb.find("back")) == documents


def test_a_mongodb_key_and_time_are_named_as_in_mongodb(mongodb: Mongo, tmp_path: Path) -> None:
    documents = [{"_id": 1, "the key": 1, "made at": NOON, "v": 1}]
    mongodb.insert("here", documents)
    lake = lake_in(tmp_path)
    mongodb.copy(mongodb.connection, Table("db", "here"), lake, Table("store", "t"))
    mongodb.insert("back", [{"_id": 9, "the key": 1, "v": 0}])
    back = Table("db", "back", key=("the key",))
    mongodb.copy(lake, Table("store", "t"), mongodb.connection, back, mode=Mode.UPSERT, key=("the key",))
    assert [one["v"] for one in mongodb.find("back")] == [1]
    day = Table("db", "day", time="made at")
    mongodb.insert("day", [{"_id": 9, "made at": NOON, "v": 0}])
    mongodb.copy(lake, Table("store", "t"), mongodb.connection, day, mode=Mode.REPLACE_WINDOW, window=DAY)
    assert [one["v"] for one in mongodb.find("day")] == [1]
