"""What DuckDB says, as people read it; DuckDB itself says it here."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from levada.connectors.complaints import told

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("sql", "what", "hint"),
    [
        ("select nmae from t", "there is no column 'nmae'", "did you mean 'name'?"),
        ("select a.nope from t as a", None, None),  # what it says depends on its version
        ("select nope", "there is no column 'nope'", None),
        ("from tt", "there is no table 'tt'", "did you mean 't'?"),
        ("select x.a from t", "there is no table 'x' here", None),
        (
            "from read_parquet('{folder}/none.parquet')",
            "there is no file {folder}/none.parquet",
            "check the path",
        ),
        (
            "from read_parquet('{folder}/text')",
            "{folder}/text is no Parquet file, or only a part of one",
            "write",
        ),
        ("select name::int from t", "Could not convert string 'x' to INT32", None),
        ("select a + from t", 'syntax error at or near "from"', None),
        ("select _levada_rwo from t", "there is no column '_levada_rwo'", None),
    ],
)
def test_it_is_told_in_a_line_without_the_statement(
    tmp_path: Path, sql: str, what: str | None, hint: str | None
) -> None:
    (tmp_path / "text").write_text("this is no Parquet file")
    with duckdb.connect() as connection:
        connection.execute("create table t as select 1 as a, 'x' as name, 1 as _levada_row").fetchall()
        with pytest.raises(duckdb.Error) as raised:
            connection.execute(sql.format(folder=tmp_path)).fetchall()
    said, advice = told(raised.value)
    assert "\n" not in said
    assert "LINE" not in said
    assert "Error:" not in said
    if what is not None:
        assert said.startswith(what.format(folder=tmp_path))
    assert advice is None if hint is None else str(advice).startswith(hint)
