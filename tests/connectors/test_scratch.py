"""A DuckDB of a moment keeps to its memory, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada.connectors.scratch import scratch

pytestmark = pytest.mark.unit

#: Several times what the database may take.
ROWS = 4_000_000


def test_what_does_not_fit_into_its_memory_goes_on_in_files_that_are_gone_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "one"
    with scratch(folder, "64MB") as connection:
        connection.execute(f"create table t as select hash(i) as h, i from range({ROWS}) r(i)").fetchall()
        used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert connection.sql("select count(*), sum(i) from t").fetchall() == [(ROWS, ROWS * (ROWS - 1) // 2)]
    assert used > 0
    assert list(folder.iterdir()) == []


def test_it_fetches_nothing_from_the_network_and_knows_no_variable_of_ours() -> None:
    there = [1]  # noqa: F841 - must not be found
    with scratch() as connection:
        set_to = connection.sql("select current_setting('autoinstall_known_extensions')").fetchall()
        assert set_to == [(False,)]
        with pytest.raises(Exception, match="there does not exist"):
            connection.sql("from there")
