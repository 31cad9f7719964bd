"""Names: what a target takes stays, everything else is told apart and comes back."""

from __future__ import annotations

import re
import sys
from hashlib import sha256
from itertools import permutations
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.errors import ConfigError
from levada.types import cast, widen
from levada.types.extjson import texts
from levada.types.kinds import MAX_FIELDS, NAME, NAMED, field_of, kind_of, original_name
from levada.types.layout import from_stored, readable_schema, stored_schema, to_stored
from levada.types.names import TARGETS, Names, Renaming, Rules, agree, originals, stored_name
from levada.types.sql import create_table

pytestmark = pytest.mark.unit

LAKE, DUCKDB = TARGETS["lake"], TARGETS["duckdb"]
ESCAPE = re.compile(r"_x([0-9a-f]{4})_")

#: Text that looks like what the mapping makes, among characters that targets don't take.
hostile = st.text(
    st.sampled_from("_x00205fabAB ;=.$\"'\0\n\x7fıİſßéE\u0301\u212a😀"), max_size=20
) | st.sampled_from(
    [
        "",
        "_x_",
        "__x_",
        "_x0020_",
        "_x0020",
        "_x005f_",
        "_levada_",
        "_LEVADA_owner",
        "v__variant",
        "V__VarıanT",
        "__proto__",
        "$set",
        "a.b",
        "x" * 10_000,
        "é" * 128,
        "x" * 255,
    ]
)
any_name = hostile | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)
rules = st.sampled_from(list(TARGETS.values()))


def undone(name: str) -> str:
    """The name that an escaped one stands for, as docs/reference/names.md tells readers to undo it."""
    return "" if name == "_x_" else ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)


def row(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{}], schema=schema)


def of_ints(*names: str) -> pa.Schema:
    return pa.schema([(name, pa.int64()) for name in names])


@given(any_name, rules, st.booleans())
def test_a_mapped_name_can_be_undone_by_hand(name: str, rules: Rules, column: bool) -> None:
    text = rules.plain(name, column=column)
    cut = text.endswith("__" + sha256(name.encode()).hexdigest()[:12])
    assert cut or undone(text) == name
    assert not cut or len(name.encode()) * 8 > rules.longest  # an escape has eight times the bytes


@given(any_name, rules, st.booleans())
def test_a_name_is_one_the_target_takes(name: str, rules: Rules, column: bool) -> None:
    text = rules.plain(name, column=column)
    assert text
    assert not re.search(f"[{rules.forbidden}]", text)
    assert len(text.encode()) <= rules.longest
    assert not rules.folded(text).startswith("_levada_")
    if column and rules.ending:
        assert not rules.folded(text).endswith(rules.ending)


@pytest.mark.parametrize(
    "name",
    [
        "customerId",
        "_id",
        "first_name",
        "bbox_x1_min",
        "_x",
        "a.b",
        "$set",
        "étage",
        "a-b",
        "a/b",
        "100%",
        "__v",
        "op",
    ],
)
@pytest.mark.parametrize("rules", TARGETS.values(), ids=TARGETS)
def test_ordinary_names_stay_as_they_are(rules: Rules, name: str) -> None:
    schema = of_ints(name)
    assert Names(rules).mapped(schema) is schema


def _cases() -> dict[str, list[str]]:
    """Characters by what Rust's and Java's case folding make of them."""
    groups: dict[str, list[str]] = {}
    for code in range(1, sys.maxunicode + 1):
        character = chr(code)
        if not 0xD800 <= code < 0xE000 and character.lower() + character.upper() != character * 2:
            for form in {character, character.lower(), character.upper(), character.upper().lower()}:
                groups.setdefault(form, []).append(character)
    return groups


def test_a_lake_tells_apart_no_names_that_delta_or_spark_take_for_one() -> None:
    for form, characters in _cases().items():
        folded = {LAKE.folded(f"a{character}b") for character in characters}
        assert len(folded) == 1 or len(form) > 1, (form, characters)


#: What Delta refuses side by side, and what Java's `equalsIgnoreCase` (Spark's resolver) takes for one.
@pytest.mark.parametrize(
    "twins", ["aA", "éÉ", "ßẞ", "k\u212a", "σς", "Ω\u2126", "𐐀𐐨", "ǅǄ", "ıI", "İi", ("İ", "i\u0307")]
)
def test_names_that_read_as_one_in_a_lake_are_told_apart(twins: str) -> None:
    first, second = Names(LAKE).mapped(of_ints(*twins)).names
    assert (first, second) == (twins[0], f"{twins[1]}__{sha256(twins[1].encode()).hexdigest()[:12]}")


def test_unicode_twins_are_twins_in_a_lake_only() -> None:
    schema = of_ints("é", "É")
    assert Names(DUCKDB).mapped(schema) is schema
    assert Names(LAKE).mapped(schema).names[0] == "é"
    assert Names(LAKE).mapped(schema).names[1].startswith("É__")


@given(st.lists(any_name, unique=True, max_size=12), rules)
def test_no_two_names_become_one_whatever_they_are(names: list[str], rules: Rules) -> None:
    inner = pa.struct([(name, pa.int64()) for name in names])
    schema = pa.schema(
        [*((name, pa.int64()) for name in names), ("~", pa.list_(inner)), ("~~", pa.map_("string", inner))]
    )
    mapped = Names(rules).mapped(schema)
    for level in (mapped.names, [f.name for f in mapped.field("~").type.value_type], mapped_items(mapped)):
        assert len({rules.folded(name) for name in level}) == len(level)
    assert originals(mapped).equals(schema, check_metadata=True)


def mapped_items(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema.field("~~").type.item_type]


@given(st.lists(any_name, unique=True, min_size=1, max_size=8), st.randoms(), rules)
def test_only_names_that_the_target_takes_for_one_depend_on_their_order(
    names: list[str], random: object, rules: Rules
) -> None:
    first = dict(zip(names, Names(rules).mapped(of_ints(*names)).names, strict=True))
    shuffled = sorted(names, key=lambda name: random.random())  # type: ignore[attr-defined]
    second = dict(zip(shuffled, Names(rules).mapped(of_ints(*shuffled)).names, strict=True))
    plain = [rules.folded(rules.plain(name, column=True)) for name in names]
    for name, text in zip(names, plain, strict=True):
        assert first[name] == second[name] or plain.count(text) > 1


def test_the_twin_that_was_first_keeps_its_name_and_the_others_names_are_their_own() -> None:
    given: dict[str, str] = {}
    for order in permutations(["id", "Id", "ID"]):
        names = dict(zip(order, Names(LAKE).mapped(of_ints(*order)).names, strict=True))
        assert names.pop(order[0]) == order[0]
        for name, other in names.items():
            assert given.setdefault(name, other) == other


def test_a_name_once_given_stays_whoever_comes_later() -> None:
    stored = Names(LAKE).mapped(of_ints("ID", "id"))
    names = Names(LAKE, stored)
    assert dict(zip(["id", "ID"], names.mapped(of_ints("id", "ID")).names, strict=True)) == {
        "ID": "ID",
        "id": stored.names[1],
    }
    assert Names(LAKE, of_ints("first name")).mapped(of_ints("first name")).names == ["first name"]


def test_a_name_that_is_taken_gets_more_digits() -> None:
    other = Names(LAKE, of_ints("id")).mapped(of_ints("ID")).names[0]
    again = Names(LAKE, of_ints("id", other)).mapped(of_ints("ID")).names[0]
    assert again.startswith(other)
    assert len(again) == len(other) + 12


def test_a_name_twice_is_refused_at_any_depth() -> None:
    twice = pa.struct([("a", pa.int64()), ("a", pa.int64())])
    for schema in (of_ints("a", "a"), pa.schema([("s", pa.list_(twice))])):
        with pytest.raises(ConfigError, match="'a' appears twice"):
            Names(DUCKDB).mapped(schema)


def test_values_come_through_both_ways_unchanged() -> None:
    inner = pa.struct([("a b", pa.int64()), ("", pa.string())])
    kinds = [inner, pa.list_(inner), pa.large_list(inner), pa.list_(inner, 2), pa.map_(pa.string(), inner)]
    kinds += [pa.list_(pa.list_(inner)), pa.dictionary(pa.int8(), pa.string()), pa.list_view(inner)]
    schema = pa.schema([pa.field(f"a {at}", kind) for at, kind in enumerate(kinds)], metadata={"m": "1"})
    value = {"a b": 1, "": "x"}
    values = [value, [value], [value], [value, None], [("k", value)], [[value], []], "x", [value]]
    batch = pa.RecordBatch.from_pylist(
        [dict(zip(schema.names, values, strict=True)), {}], schema=schema
    ).slice(0, 2)
    mapped = Renaming(Names(LAKE).mapped).of(batch)
    mapped.validate(full=True)
    assert "a b" not in str(mapped.schema.remove_metadata().field(0).type)
    back = Renaming(originals).of(mapped)
    back.validate(full=True)
    assert back.equals(batch, check_metadata=True)
    assert (
        back.column(1).values.field(0).buffers()[1].address
        == batch.column(1).values.field(0).buffers()[1].address
    )


def test_a_schema_is_worked_out_once_as_long_as_it_stays_the_same() -> None:
    asked: list[pa.Schema] = []

    def schema_of(schema: pa.Schema) -> pa.Schema:
        asked.append(schema)
        return schema

    renaming = Renaming(schema_of)
    for name in ("a", "a", "b", "b", "a"):
        batch = row(of_ints(name))
        assert renaming.of(batch) is batch
    assert [schema.names for schema in asked] == [["a"], ["b"], ["a"]]


def test_original_names_survive_widening_casting_and_storing() -> None:
    names = Names(LAKE)
    first = names.mapped(pa.schema([("a b", pa.int32()), ("l", pa.list_(pa.struct([("c d", pa.null())])))]))
    second = names.mapped(
        pa.schema(
            [("a b", pa.float64()), ("l", pa.list_(pa.struct([("c d", pa.int64()), ("C D", pa.int64())])))]
        )
    )
    wide = widen(first, second)
    assert kind_of(wide.field("a_x0020_b")) == "double"
    kept = pa.ipc.read_schema(wide.serialize())
    stored = stored_schema(kept)
    rows = from_stored(to_stored(cast(row(first), wide), stored), readable_schema(kept, stored))
    back = originals(rows.schema)
    assert back.names == ["a b", "l"]
    assert [field.name for field in back.field("l").type.value_type] == ["c d", "C D"]


def test_a_document_that_becomes_text_has_its_original_names_in_it() -> None:
    schema = pa.schema([("s", pa.struct([("a b", pa.int32()), ("_x_", pa.int32()), ("", pa.int32())]))])
    batch = pa.RecordBatch.from_pylist([{"s": {"a b": 1, "_x_": 2, "": 3}}], schema=schema)
    mapped = Renaming(Names(LAKE).mapped).of(batch)
    assert texts(mapped.column(0), mapped.schema.field(0)) == texts(batch.column(0), schema.field(0))
    text = cast(mapped, pa.schema([field_of("variant", "s")])).column(0)[0].as_py()
    assert text == '{"":{"$numberInt":"3"},"_x_":{"$numberInt":"2"},"a b":{"$numberInt":"1"}}'


def test_many_mapped_names_become_a_map_with_moving_keys() -> None:
    wide = pa.schema([("s", pa.struct([(f"a {n}", pa.int32()) for n in range(MAX_FIELDS)]))])
    names = Names(LAKE)
    joined = widen(
        names.mapped(wide), names.mapped(pa.schema([("s", pa.struct([("one more", pa.int32())]))]))
    )
    assert kind_of(joined.field("s")) == "variant"


def test_a_field_renamed_since_keeps_its_new_name() -> None:
    mapped = Names(LAKE).mapped(of_ints("a b")).field(0)
    assert mapped.metadata == {NAME: b"a b", NAMED: b"a_x0020_b"}
    assert original_name(mapped) == "a b"
    assert original_name(mapped.with_name("ab")) == "ab"
    assert originals(pa.schema([mapped.with_name("ab")])) == of_ints("ab")


def test_writers_that_named_twins_differently_do_not_agree() -> None:
    one, other = Names(LAKE).mapped(of_ints("id", "ID")), Names(LAKE).mapped(of_ints("ID", "id"))
    assert agree(LAKE, one, one)
    assert agree(LAKE, of_ints(), other)
    assert not agree(LAKE, one, other)
    assert not agree(LAKE, of_ints("id"), of_ints("ID"))
    nested = [pa.schema([("s", pa.list_(pa.struct(list(schema))))]) for schema in (one, other)]
    assert agree(LAKE, nested[0], nested[0])
    assert not agree(LAKE, *nested)


def test_a_column_is_found_by_its_name_and_its_original_one() -> None:
    schema = Names(LAKE).mapped(of_ints("created at", "k"))
    for name in ("created at", "created_x0020_at"):
        assert stored_name(schema, name) == "created_x0020_at"
    assert stored_name(schema, "k") == "k"
    assert stored_name(schema, "none") == "none"


def test_a_name_that_can_be_two_columns_is_refused() -> None:
    schema = Names(LAKE).mapped(of_ints("a b", "a_x0020_b"))
    assert stored_name(schema, "a b") == "a_x0020_b"
    assert stored_name(schema, "a_x005f_x0020_b") == "a_x005f_x0020_b"
    with pytest.raises(ConfigError, match="can be two") as refused:
        stored_name(schema, "a_x0020_b")
    assert refused.value.hint == "write 'a b' or 'a_x005f_x0020_b'"


def test_the_table_shown_as_sql_is_one_that_duckdb_takes() -> None:
    inner = pa.struct([("a", pa.int64()), ("A", pa.int64()), ("", pa.int64())])
    schema = pa.schema([("id", pa.int64()), ("ID", pa.int64()), ("a.b", inner), ('q"', pa.list_(inner))])
    with duckdb.connect() as connection:
        connection.execute(create_table("t", schema)).fetchall()
        shown = connection.sql("SELECT * FROM t").to_arrow_table().schema
    assert shown.names == Names(DUCKDB).mapped(schema).names
    assert [field.name for field in shown.field("a.b").type][::2] == ["a", "_x_"]


DOCS = (Path(__file__).parents[2] / "docs/reference/names.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The cells of the documented table whose first cell is called so, without its head."""
    lines = DOCS.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = lines[start + 2 :]
    return [row.strip("|").split(" | ") for row in rows[: rows.index("")]]


def cells(text: str) -> list[str]:
    return re.findall("`([^`]*)`", text)


def test_the_documented_rules_are_those_of_the_code() -> None:
    documented = {cells(row[0])[0]: row for row in table("Target")}
    assert list(documented) == list(TARGETS)
    named = {" ": "space", "\0": "NUL"}
    for target, rules in TARGETS.items():
        _, characters, longest, twins, own, why = documented[target]
        mapped = [chr(code) for code in range(0x3000) if re.match(f"[{rules.forbidden}]", chr(code))]
        control = [chr(code) for code in [*range(32), 127]]
        expected = "control characters, " if set(control) <= set(mapped) else ""
        rest = [one for one in mapped if not expected or one not in control]
        words, signs = [named[one] for one in rest if one in named], {one for one in rest if one not in named}
        assert re.split(r",?\s+`", characters)[0] == expected + ", ".join(words)
        assert set(cells(characters)) == signs
        assert longest == f"{rules.longest:,} bytes"
        alike = rules.folded("A") == rules.folded("a")
        case = f"without case, by {'Unicode' if rules.folded('É') == rules.folded('é') else 'ASCII'}"
        assert twins == (case if alike else "none")
        ending = [f"…{rules.ending}"] if rules.ending else []
        assert cells(own) == ["_levada_…", *ending, *sorted(rules.taken)]
        assert why.strip() == rules.why


def test_the_documented_examples_are_what_happens() -> None:
    examples = [[cells(text) or [""] for text in row] for row in table("Original")]
    assert len(examples) > 10
    for names, in_lake, in_duckdb in examples:
        assert Names(LAKE).mapped(of_ints(*names)).names == in_lake
        assert Names(DUCKDB).mapped(of_ints(*names)).names == in_duckdb


def test_names_are_known_in_documents_that_others_added_fields_to() -> None:
    inner = pa.struct([("a b", pa.int64()), pa.field("d", pa.timestamp("ms", "UTC"))])
    logical = Names(LAKE).mapped(pa.schema([("the s", inner), ("l", pa.list_(inner)), ("n m", pa.int32())]))
    grown = pa.struct([("a_x0020_b", pa.int64()), ("d", pa.timestamp("us", "UTC")), ("theirs", pa.string())])
    stored = pa.schema([("the_x0020_s", grown), ("l", pa.list_(grown)), ("n_x0020_m", pa.float64())])
    back = originals(readable_schema(logical, stored))
    assert back.names == ["the s", "l", "n m"]
    assert [field.name for field in back.field("the s").type] == ["a b", "d", "theirs"]
    assert back.field("l").type.value_type == back.field("the s").type
    assert back.field("the s").type.field("d").type == pa.timestamp("ms", "UTC")
    assert back.field("n m").type == pa.float64()
