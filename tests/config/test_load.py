"""A project file that is right, and every way it can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from levada.config import ProjectFile, load, starter
from levada.errors import ConfigError
from levada.windows import Grain

pytestmark = pytest.mark.unit

Loader = Callable[..., ProjectFile]


def test_reads_every_field(project: Loader, tmp_path: Path) -> None:
    file = project()
    daily = file.pipelines["daily"]
    assert (file.name, file.root) == ("shop", tmp_path)
    assert file.connections["shop"].type == "mongodb"
    assert file.connections["shop"].settings == {"uri": "embedded", "database": "shop"}
    assert file.tables["lake.transactions"].key == ("_id",)
    assert (daily.window, daily.timezone, daily.parallel) == (Grain.DAY, "Europe/Lisbon", 2)
    assert daily.notify is not None
    assert daily.notify.on == ("failure",)  # YAML 1.1 would have read the key as `true`
    assert daily.steps["extract"].verb == "copy"
    assert daily.steps["extract"].settings["mode"] == "replace_window"


def test_a_step_waits_for_the_one_before_unless_it_says_otherwise(project: Loader) -> None:
    steps = project().pipelines["daily"].steps
    assert {name: step.needs for name, step in steps.items()} == {
        "validate": (),
        "extract": ("validate",),
        "clean": (),
    }


def test_a_steps_retries_and_timeout_come_before_the_pipelines(project: Loader) -> None:
    daily = project().pipelines["daily"]
    assert daily.retries_of("extract").attempts == 1
    assert daily.retries_of("clean").delay == timedelta(minutes=5)
    assert daily.timeout_of("extract") == timedelta(minutes=30)
    assert daily.timeout_of("clean") == timedelta(hours=2)


def test_state_lives_at_the_only_mongodb_connection(project: Loader) -> None:
    state = project().state
    assert (state.connection, state.database) == ("shop", "etl_metadata")


def test_a_file_is_frozen(project: Loader) -> None:
    with pytest.raises(ValueError, match="frozen"):
        project().name = "other"


def test_sections_whose_entries_are_commented_out_are_empty(project: Loader) -> None:
    file = project("name: bare\nconnections:\n  # none\npipelines:\ntables:\nstreams:\n")
    assert (file.connections, file.pipelines, file.tables, file.streams) == ({}, {}, {}, {})


def test_yaml_scalars_are_those_of_version_1_2(project: Loader) -> None:
    file = project(
        """\
        name: bare
        connections:
          c: {type: lake, a: no, b: 12:30, c: 2026-11-23, d: 1e3, e: 012, f: ~, g: true, h: -7, i: "7",
              j: .inf}
        """
    )
    settings = file.connections["c"].settings
    assert settings == {
        "a": "no",
        "b": "12:30",
        "c": "2026-11-23",
        "d": 1000.0,
        "e": "012",
        "f": None,
        "g": True,
        "h": -7,
        "i": "7",
        "j": float("inf"),
    }


def test_anchors_and_merge_keys_share_settings(project: Loader) -> None:
    file = project(
        """\
        name: bare
        connections:
          one: &base {type: lake, path: a, region: eu}
          two: {<<: *base, path: b}
        """
    )
    assert file.connections["two"].settings == {"path": "b", "region": "eu"}


def test_the_starter_is_valid(project: Loader) -> None:
    assert list(project(starter()).pipelines) == ["hello"]


#: what is replaced in the complete file, by what -> (line, field, what, part of the hint)
WRONG = {
    "unknown top-level field": ("pipelines:", "pipeline:", 9, "pipeline", "unknown field", "'pipelines'?"),
    "unknown field": (
        "    schedule:",
        "    schedul:",
        11,
        "pipelines.daily.schedul",
        "unknown field 'schedul'",
        "did you mean 'schedule'? valid: description, schedule, window",
    ),
    "unknown nested field": (
        "delay: 5m",
        "dely: 5m",
        17,
        "pipelines.daily.retries.dely",
        "unknown field 'dely'",
        "did you mean 'delay'? valid: attempts, delay, jitter",
    ),
    "unknown connection type": (
        "type: lake",
        "type: lak",
        5,
        "connections.lake.type",
        "unknown connection type 'lak'",
        "did you mean 'lake'? valid: mongodb",
    ),
    "connection without type": ("type: lake, ", "", 5, "connections.lake", "needs a type", "mongodb, lake"),
    "connection that is a text": (
        '{type: lake, path: "${SHOP_LAKE:-.levada/lake}"}',
        "lake",
        5,
        "connections.lake",
        "not a text",
        "",
    ),
    "bad connection name": ("  lake: {", "  la.ke: {", 5, "connections.la.ke", "bad name 'la.ke'", "letters"),
    "unknown verb": (
        "        prune:",
        "        prun:",
        28,
        "pipelines.daily.steps.clean.prun",
        "unknown step verb or option 'prun'",
        "did you mean 'prune'?",
    ),
    "unknown option": (
        "        needs:",
        "        need:",
        29,
        "pipelines.daily.steps.clean.need",
        "unknown step verb or option 'need'",
        "did you mean 'needs'?",
    ),
    "two verbs": (
        "        needs:",
        "        sql:",
        29,
        "pipelines.daily.steps.clean.sql",
        "one verb, this one has prune, sql",
        "split it",
    ),
    "no verb": (
        "        prune: {table: lake.transactions, older_than: 7d}\n",
        "",
        27,
        "pipelines.daily.steps.clean",
        "a step needs a verb",
        "check, copy",
    ),
    "step settings that are a list": (
        "prune: {table: lake.transactions, older_than: 7d}",
        "prune: [lake.transactions]",
        28,
        "pipelines.daily.steps.clean.prune",
        "'prune' should be a mapping",
        "",
    ),
    "unknown step in needs": (
        "needs: []",
        "needs: [validate, extrac]",
        29,
        "pipelines.daily.steps.clean.needs[1]",
        "unknown step 'extrac'",
        "did you mean 'extract'? valid: validate, extract",
    ),
    "step that needs itself": (
        "needs: []",
        "needs: [clean]",
        29,
        "pipelines.daily.steps.clean.needs",
        "in a circle: clean -> clean",
        "remove one",
    ),
    "unknown connection of a table": (
        "  lake.transactions:",
        "  lakes.transactions:",
        8,
        "tables.lakes.transactions",
        "unknown connection 'lakes'",
        "did you mean 'lake'? valid: shop, lake",
    ),
    "table without connection": ("  lake.transactions:", "  x:", 8, "tables.x", "'x' is not a table", ""),
    "bad partition": ("day(tran", "year(tran", 8, "tables.lake.transactions.partition_by[0]", "", ""),
    "bad cron": ("0 2 * * *", "0 25 * * *", 11, "pipelines.daily.schedule", "not a cron expression", ""),
    "bad window": (
        "window: day",
        "window: dayly",
        12,
        "pipelines.daily.window",
        "'dayly' is not valid here",
        "did you mean 'day'? valid: hour, day, week, month",
    ),
    "bad time zone": ("Europe/Lisbon", "Lisbon", 13, "pipelines.daily.timezone", "zone 'Lisbon'", ""),
    "bad duration": ("delay: 5m", "delay: 5min", 17, "pipelines.daily.retries.delay", "'5min'", ""),
    "duration without unit": ("timeout: 2h", "timeout: 7200", 18, "pipelines.daily.timeout", "a unit", ""),
    "list that is a text": ("tags: [mongodb, etl]", "tags: etl", 15, "pipelines.daily.tags", "a list", ""),
    "number that is too low": ("parallel: 2", "parallel: 0", 19, "pipelines.daily.parallel", "than", ""),
    "number that is a list": ("parallel: 2", "parallel: []", 19, "pipelines.daily.parallel", "integer", ""),
    "format of the future": ("format: 1", "format: 2", 1, "format", "2 is not valid here", "valid: 1"),
    "missing name": ("name: shop\n", "", 1, "name", "missing field 'name'", "fields: format, name"),
    "bad project name": ("name: shop", "name: my shop", 2, "name", "match pattern", ""),
    "stream": ("streams: {}", "streams: {live: {}}", 30, "streams", "don't run in this version", "empty"),
    "unknown state connection": (
        "streams: {}",
        "state: {connection: shp}",
        30,
        "state.connection",
        "unknown connection 'shp'",
        "did you mean 'shop'?",
    ),
    "state not in MongoDB": (
        "streams: {}",
        "state: {connection: lake}",
        30,
        "state.connection",
        "'lake' is of type lake",
        "valid: shop",
    ),
    "no MongoDB for state": ("type: mongodb", "type: duckdb", 1, "state.connection", "no MongoDB", "add one"),
    "several MongoDB for state": (
        "type: lake",
        "type: mongodb",
        1,
        "state.connection",
        "several MongoDB connections",
        "write `state: {connection: shop}`",
    ),
    "missing variable": ("SHOP_LAKE:-.levada/lake", "SHOP_LAKE", 5, "connections.lake.path", "SHOP_LAKE", ""),
    "key that stands twice": (
        "    window: day",
        "    owner: someone",
        14,
        "pipelines.daily.owner",
        "the key 'owner' stands twice",
        "line 12",
    ),
    "tag": ("window: day", "window: !!python/name:os.system", 12, "pipelines.daily.window", "tag", "no tags"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_names_file_line_field_and_remedy(
    case: str, complete: str, project: Loader, tmp_path: Path
) -> None:
    old, new, line, field, what, hint = WRONG[case]
    assert complete.count(old) >= 1
    with pytest.raises(ConfigError) as caught:
        project(complete.replace(old, new, 1))
    error = caught.value
    assert error.where == f"{tmp_path / 'levada.yml'}:{line} {field}"
    assert what in error.what
    assert hint in (error.hint or "")
    assert error.exit_code == 2


def test_cyclic_needs_are_shown_as_a_circle(complete: str, project: Loader) -> None:
    text = complete.replace("check: {", "needs: [clean]\n        check: {", 1).replace("[]", "[extract]", 1)
    with pytest.raises(ConfigError, match="in a circle") as caught:
        project(text)
    circle = caught.value.what.split(": ")[1].split(" -> ")
    assert circle[0] == circle[-1]
    assert set(circle) == {"validate", "extract", "clean"}


def test_the_first_error_decides_and_the_hint_lists_the_next_five(project: Loader) -> None:
    bad = "".join(f"  c{number}: {{type: nothing{number}}}\n" for number in range(8))
    with pytest.raises(ConfigError) as caught:
        project(f"name: bare\nconnections:\n{bad}")
    error = caught.value
    assert error.where is not None
    assert error.where.endswith(":3 connections.c0.type")
    assert error.hint is not None
    assert [f"nothing{number}" in error.hint for number in range(8)] == [False, *[True] * 5, False, False]
    assert "and 2 more" in error.hint


MALFORMED = {
    "tab": ("name: x\nconnections:\n\ta: 1\n", "3:1", "a tab"),
    "unclosed bracket": ("name: x\ntags: [a, b\n", "3:1", "malformed YAML"),
    "unclosed quote": ('name: "x\n', "2:1", "malformed YAML"),
    "colon in a text": ("name: x\ndescription: one: two\n", "2:17", "malformed YAML"),
    "control character": ("name: x\x07\n", "", "malformed YAML"),
    "two documents": ("name: x\n---\nname: y\n", "2:1", "malformed YAML"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_yaml_names_line_and_column(case: str, project: Loader) -> None:
    text, place, what = MALFORMED[case]
    with pytest.raises(ConfigError, match=what) as caught:
        project(text)
    assert caught.value.where is not None
    assert caught.value.where.endswith(f"levada.yml:{place}" if place else "levada.yml")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("", "the file is empty", 1),
        ("# only a comment\n", "the file is empty", 1),
        ("- a\n- b\n", "the file is a list, not a mapping", 1),
        ("shop\n", "the file is a single value", 1),
        (b"name: x\ndescription: caf\xe9\n", "not UTF-8: byte 0xe9", 2),
        ("name: x\ntables: &a {x.y: *a}\n", "contains itself", 2),
        ("name: x\n? [a]\n: 1\n", "a key that is not a text", 2),
        ("name: " + "[" * 5_000, "nested too deeply", 1),
    ],
)
def test_a_file_of_another_kind_is_refused(text: str, what: str, line: int, project: Loader) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        project(text)
    assert caught.value.where is not None
    assert f"levada.yml:{line}" in caught.value.where


def test_aliases_of_aliases_do_not_fill_the_memory(project: Loader) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="more than 100000 values"):
        project("\n".join(lines))


def test_a_missing_file_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="levada init"):
        load(tmp_path / "levada.yml", {})


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't read the file"):
        load(tmp_path, {})


def test_an_unknown_table_names_the_nearest_and_the_place_that_asked(project: Loader) -> None:
    file = project()
    place = file.place("pipelines", "daily", "steps", "extract", "copy", "from")
    assert file.table("shop.transactions", place).time == "transaction_date"
    with pytest.raises(ConfigError) as caught:
        file.table("shop.transaction", place)
    assert caught.value.where is not None
    assert ":24 pipelines.daily.steps.extract.copy.from" in caught.value.where
    assert "did you mean 'shop.transactions'?" in (caught.value.hint or "")


def test_an_unknown_pipeline_names_the_nearest(project: Loader) -> None:
    with pytest.raises(ConfigError, match=r"unknown pipeline 'dayly'.*did you mean 'daily'"):
        project().pipeline("dayly")
