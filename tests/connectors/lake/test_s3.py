"""The lake in an object store, on a server that is reached over HTTP."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from levada.batches import Batch
from levada.connectors.base import Fence, Mode, Query, Table, Write
from levada.connectors.lake import LakeConnection
from levada.errors import ConfigError, Fatal, Fenced, LevadaError, Retriable
from levada.positions import Position
from levada.windows import Window

from ...s3 import S3  # noqa: TID252

TABLE = Table("far", "sales/items", key=("k",), time="t", partition_by=("day(t)",))
START = datetime(2026, 11, 23, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
OWNER = "daily/items"


@pytest.fixture
def prefix(s3: S3) -> str:
    return s3.prefix()


@pytest.fixture
def lake(s3: S3, prefix: str, tmp_path: Path) -> LakeConnection:
    return connect(s3, prefix, tmp_path)


def connect(s3: S3, prefix: str, root: Path, **options: str) -> LakeConnection:
    settings = {"path": prefix, "storage_options": {**s3.options, **options}}
    return LakeConnection("far", LakeConnection.settings_model.model_validate(settings), root)


def rows(first: int, count: int, days: int = 3) -> pa.RecordBatch:
    data = [{"k": first + i, "t": START + timedelta(days=i % days), "n": i} for i in range(count)]
    schema = pa.schema([("k", pa.int64()), ("t", pa.timestamp("ms", "UTC")), ("n", pa.int32())])
    return pa.RecordBatch.from_pylist(data, schema)


def put(
    lake: LakeConnection,
    mode: Mode,
    batch: pa.RecordBatch,
    sequence: int = 0,
    window: Window | None = None,
    epoch: int | None = None,
) -> None:
    fence = None if epoch is None else Fence(epoch)
    writer = lake.sink(TABLE).open(Write(TABLE, mode, OWNER, window=window, fence=fence))
    writer.write(Batch(batch))
    writer.commit(Position({"": sequence}, sequence) if sequence else None)


def keys(lake: LakeConnection, window: Window | None = None) -> list[int]:
    batches = lake.source(TABLE, Query(columns=("k",))).read(window, None)
    return sorted(key for batch in batches for key in batch.data.column("k").to_pylist())


def test_every_mode_writes_and_other_readers_of_delta_see_it(
    s3: S3, prefix: str, lake: LakeConnection
) -> None:
    put(lake, Mode.APPEND, rows(0, 30))
    put(lake, Mode.UPSERT, rows(20, 20), sequence=1)
    assert keys(lake) == list(range(40))
    put(lake, Mode.REPLACE_WINDOW, rows(100, 5, days=1), sequence=2, window=DAY)
    upserted = [i for i in range(40) if (i if i < 20 else i - 20) % 3 != 0]
    assert keys(lake) == sorted([*upserted, *range(100, 105)])
    assert keys(lake, DAY) == list(range(100, 105))
    put(lake, Mode.REPLACE, rows(7, 4), sequence=3)
    assert keys(lake) == [7, 8, 9, 10]
    assert lake.sink(TABLE).position(OWNER) == Position({"": 3}, 3)
    seen = DeltaTable(f"{prefix}/sales/items", storage_options=s3.options)
    assert seen.count() == 4
    assert seen.metadata().partition_columns == ["day"]


def test_of_two_racing_writers_of_one_position_exactly_one_commits(
    s3: S3, prefix: str, lake: LakeConnection, tmp_path: Path
) -> None:
    put(lake, Mode.REPLACE, rows(0, 3))
    for sequence in (1, 2, 3):
        start, outcomes = threading.Barrier(2), []

        def race(first: int, sequence: int, start: threading.Barrier, outcomes: list[object]) -> None:
            mine = connect(s3, prefix, tmp_path)
            writer = mine.sink(TABLE).open(Write(TABLE, Mode.APPEND, OWNER))
            writer.write(Batch(rows(first, 2)))
            start.wait(30)
            try:
                writer.commit(Position({"": first}, sequence))
                outcomes.append(first)
            except LevadaError as error:
                outcomes.append(error)

        firsts = [sequence * 100, sequence * 100 + 50]
        racers = [threading.Thread(target=race, args=(f, sequence, start, outcomes)) for f in firsts]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(60)
        winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
        losers = [outcome for outcome in outcomes if not isinstance(outcome, int)]
        assert len(winners) == 1
        assert [type(loser) for loser in losers] == [Fenced]
        assert lake.sink(TABLE).position(OWNER) == Position({"": winners[0]}, sequence)
        assert [key for key in keys(lake) if key // 100 == sequence] == [winners[0], winners[0] + 1]


def test_appends_of_different_owners_at_once_all_arrive(s3: S3, prefix: str, tmp_path: Path) -> None:
    lake = connect(s3, prefix, tmp_path)
    put(lake, Mode.REPLACE, rows(0, 1))
    errors: list[Exception] = []

    def append(number: int) -> None:
        try:
            writer = connect(s3, prefix, tmp_path).sink(TABLE).open(Write(TABLE, Mode.APPEND, f"o/{number}"))
            writer.write(Batch(rows(100 * number, 3)))
            writer.commit(Position({"": number}, 1))
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    writers = [threading.Thread(target=append, args=(number,)) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(90)
    assert errors == []
    assert keys(lake) == sorted([0, *(100 * n + i for n in range(1, 5) for i in range(3))])


def test_a_lower_epoch_is_refused(lake: LakeConnection) -> None:
    put(lake, Mode.REPLACE, rows(0, 3), sequence=1, epoch=7)
    with pytest.raises(Fenced):
        put(lake, Mode.REPLACE, rows(0, 9), sequence=2, epoch=6)
    assert keys(lake) == [0, 1, 2]


MEANS = {
    "AWS_ACCESS_KEY_ID": "the store does not know the access key",
    "AWS_SECRET_ACCESS_KEY": "the secret does not belong to the access key",
}


@pytest.mark.parametrize("option", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_a_wrong_key_is_told_and_never_printed(s3: S3, prefix: str, tmp_path: Path, option: str) -> None:
    wrong = "WRONGWRONGWRONG42"
    lake = connect(s3, prefix, tmp_path, **{option: wrong})
    with pytest.raises(Fatal) as caught:
        put(lake, Mode.REPLACE, rows(0, 3))
    assert caught.value.what == MEANS[option]
    assert caught.value.hint
    assert "storage_options" in caught.value.hint
    (unreachable,) = [finding for finding in lake.diagnose() if not finding.ok]
    shown = f"{caught.value} {unreachable} {lake.settings!r} {lake.describe()}"
    assert wrong not in shown
    assert s3.secret not in shown


def test_a_server_that_does_not_answer_is_worth_another_try(s3: S3, prefix: str, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:1"
    lake = connect(s3, prefix, tmp_path, AWS_ENDPOINT_URL=closed)
    with pytest.raises(Retriable):
        keys(lake)


def test_a_bucket_that_is_not_there_is_told_in_a_line(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^there is no bucket 'no-such-bucket'; "):
        put(connect(s3, "s3://no-such-bucket/x", tmp_path), Mode.REPLACE, rows(0, 3))
