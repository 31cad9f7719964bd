from __future__ import annotations

from pathlib import Path

import pytest

from levada.cli.main import COMMANDS

from .conftest import Levada

pytestmark = pytest.mark.unit

PROJECT = """
format: 1
name: test
connections:
  db:
    type: mongodb
    uri: "mongodb://reader:${PASSWORD}@127.0.0.1:1/"
    database: shop
    server_selection_timeout: 0.2
  wh: {type: duckdb, path: wh.duckdb}
pipelines:
  daily:
    window: day
    steps:
      check: {check: {table: db.orders, rules: [{row_count: {min: 1}}]}}
      copy: {copy: {from: db.orders, to: wh.orders, mode: replace_window}}
  by_url:
    steps:
      copy: {copy: {from: "mongodb://reader:${PASSWORD}@127.0.0.1:1/shop.orders", to: wh.orders}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PASSWORD", "s3cret-pass")
    (tmp_path / "levada.yml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [(), ("config",), *((name,) for name in COMMANDS)])
def test_every_command_has_help_and_an_example(levada: Levada, command: tuple[str, ...]) -> None:
    found = levada(*command, "--help")
    assert found.code == 0
    assert "levada" in found.out
    assert "Example" in found.out or not command


def test_help_lists_every_command(levada: Levada) -> None:
    found = levada("--help").out
    assert all(name in found for name in COMMANDS)


def test_an_unknown_command_names_the_nearest(levada: Levada) -> None:
    found = levada("rum")
    assert found.code == 2
    assert found.err.splitlines()[0] == "error: there is no command 'rum'"
    assert "did you mean `run`?" in found.err


@pytest.mark.parametrize(
    ("command", "what", "hint"),
    [
        (("copy", "a.b"), "missing argument 'TARGET'", ""),
        (("copy", "a.b", "c.d", "e.f"), "got unexpected extra argument", ""),
        (("copy", "a.b", "c.d", "--mod", "append"), "no such option", "did you mean `--mode`? "),
        (("copy", "a.b", "c.d", "--mode", "apend"), "invalid value for '--mode': 'apend' is not one of", ""),
        (("copy", "a.b", "c.d", "--key"), "option '--key' requires an argument", ""),
        (("copy", "a.b", "c.d", "--lanes", "0"), "invalid value for '--lanes': 0 is not in the range", ""),
        (("plan", "daily"), "missing option '--from'", ""),
        (("schema", "a.b", "--all", "--sample", "5"), "--all and --sample exclude each other", ""),
        (("config", "chek"), "no such command 'chek'", ""),
    ],
)
def test_a_mistake_in_how_a_command_is_called_is_told_in_three_lines(
    levada: Levada, command: tuple[str, ...], what: str, hint: str
) -> None:
    found = levada(*command)
    name = f"levada {command[0]}"
    lines = found.err.splitlines()
    assert (found.code, found.out, len(lines)) == (2, "", 3)
    assert lines[0].startswith(f"error: {what}")
    assert lines[1] == f"  where: `{name}`"
    assert lines[2].startswith(f"   hint: {hint}")
    assert f"`{name} --help`" in lines[2]


def test_without_a_project_file_the_error_says_how_to_get_one(
    levada: Levada, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = levada("run", "daily")
    assert found.code == 2
    assert "levada init" in found.err
    assert "Traceback" not in found.err


def test_init_writes_a_file_once(levada: Levada, tmp_path: Path) -> None:
    assert levada("init", str(tmp_path / "new")).code == 0
    again = levada("init", str(tmp_path / "new"))
    assert again.code == 2
    assert "--force" in again.err
    assert levada("init", str(tmp_path / "new"), "--force").code == 0
    assert levada("-p", str(tmp_path / "new"), "config", "check").code == 0


def test_config_check_counts_what_is_there(levada: Levada, project: Path) -> None:
    found = levada("config", "check", "--json")
    assert found.code == 0
    assert found.json == {
        "file": str(project / "levada.yml"),
        "connections": 2,
        "tables": 0,
        "pipelines": 2,
        "steps": 3,
    }


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        ("row_count", "row_cout", "levada.yml:15"),
        ("mode: replace_window", "mode: replace_widow", "replace_window"),
        ("to: wh.orders", "to: whh.orders", "did you mean 'wh'"),
        ("window: day", "window: dya", "day"),
        ("path: wh.duckdb", "paht: wh.duckdb", "path"),
        ("type: duckdb", "type: ducdkb", "duckdb"),
    ],
)
def test_a_mistake_is_shown_with_its_line_and_what_was_meant(
    levada: Levada, project: Path, wrong: str, right: str, says: str
) -> None:
    (project / "levada.yml").write_text(PROJECT.replace(wrong, right))
    found = levada("config", "check")
    assert found.code == 2
    assert says in found.err
    assert "levada.yml:" in found.err
    assert len(found.err.strip().splitlines()) <= 3


def test_no_command_prints_a_secret(levada: Levada, project: Path) -> None:
    for arguments in (
        ("config", "show"),
        ("config", "show", "--json"),
        ("config", "schema"),
        ("doctor",),
        ("doctor", "--json"),
        ("run", "daily"),
        ("run", "by_url", "--dry-run"),
        ("run", "by_url", "--dry-run", "--json"),
        ("--debug", "status"),
        ("copy", "db.orders", "wh.orders"),
    ):
        found = levada(*arguments)
        assert "s3cret-pass" not in found.out + found.err


def test_an_unreachable_server_is_three_lines_and_exit_code_1(levada: Levada, project: Path) -> None:
    found = levada("run", "daily")
    assert found.code == 1
    assert "levada doctor" in found.err
    assert len(found.err.strip().splitlines()) == 3


def test_doctor_says_which_connection_is_wrong_and_what_to_do(levada: Levada, project: Path) -> None:
    found = levada("doctor")
    assert found.code == 1
    assert "FAIL" in found.out
    assert "127.0.0.1:1" in found.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "nope"),
        ("run", "daily", "--window", "soon"),
        ("run", "daily", "--on-lost", "shrug"),
        ("plan", "daily"),
        ("plan", "daily", "--from", "9999-12-31"),
        ("backfill", "daily", "--from", "2026-11-01", "--parallel", "0"),
        ("runs", "--limit", "0"),
        ("plan", "daily", "--from", "2026-11-23", "--to", "2026-11-01"),
        ("copy", "wh.orders"),
        ("copy", "wh.orders", "nowhere.orders"),
        ("copy", "ftp://host/x", "wh.orders"),
        ("copy", "mongodb://host/justdatabase", "wh.orders"),
        ("copy", "db.orders", "wh.orders", "--filter", "{not json"),
        ("copy", "db.orders", "wh.orders", "--mode", "sideways"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_no_traceback(
    levada: Levada, project: Path, arguments: tuple[str, ...]
) -> None:
    found = levada(*arguments)
    assert found.code == 2
    assert found.err
    assert "Traceback" not in found.err


def test_a_broken_project_file_above_is_not_passed_over(
    levada: Levada, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "levada.yml").write_text("connections: [")
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    found = levada("copy", "db.orders", "wh.orders")
    assert found.code == 2
    assert "levada.yml:" in found.err


def test_a_dry_copy_writes_nothing(levada: Levada, project: Path) -> None:
    (project / "orders.jsonl").write_text('{"n": 1}\n')
    before = {path.name for path in project.iterdir()}
    source = f"file://{project}/orders.jsonl"
    found = levada("copy", source, "wh.orders", "--mode", "replace", "--dry-run", "--json").json
    assert (found["from"], found["to"], found["mode"]) == (source, "wh.orders", "replace")
    assert {path.name for path in project.iterdir()} == before


@pytest.mark.parametrize(
    ("target", "children"),
    [
        ("wh.orders", {"items": "wh.orders__items", "items.taxes": "wh.orders__items_taxes"}),
        ("file:///data/orders.csv", {"items": "orders__items.csv", "items.taxes": "orders__items_taxes.csv"}),
    ],
)
def test_a_dry_copy_names_the_child_tables(
    levada: Levada, project: Path, target: str, children: dict[str, str]
) -> None:
    (project / "orders.jsonl").write_text('{"_id": 1, "items": [{"taxes": [1]}]}\n')
    source = f"file://{project}/orders.jsonl"
    arguments = ("copy", source, target, "--explode", "items,items.taxes", "--dry-run")
    found = levada(*arguments, "--json").json["children"]
    assert found.keys() == children.keys()
    assert all(found[path].endswith(name) for path, name in children.items())
    lines = levada(*arguments).out.splitlines()
    assert {f"rows of {path} to {table}" for path, table in found.items()} <= set(lines)


def test_the_schema_knows_every_verb_and_connection_type(levada: Levada) -> None:
    text = levada("config", "schema").out
    for name in ("check", "copy", "sql", "prune", "python", "mongodb", "lake", "duckdb", "replace_window"):
        assert f'"{name}"' in text
