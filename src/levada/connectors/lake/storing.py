"""How the rows of one write get into a Delta table: by an append, an overwrite, or a MERGE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from levada.connectors.base import Changes, Mode
from levada.connectors.feeding import Feed
from levada.connectors.folding import TAKEN
from levada.connectors.keyed import NEW, OLD, Keyed
from levada.connectors.lake.changing import changed_rows, count_older, direct, keyed, outcome
from levada.connectors.lake.plan import Plan
from levada.connectors.lake.table import Snapshot
from levada.connectors.rounds import Applied
from levada.connectors.spool import Spool
from levada.connectors.sqltext import quoted
from levada.connectors.staging import Staging
from levada.connectors.writes import key_of
from levada.types.layout import Change


def appends(snapshot: Snapshot, planned: Plan, staging: Staging) -> bool:
    """Whether the write only adds rows, so that other appends don't matter."""
    mode = planned.write.mode
    if planned.change >= Change.SETTLE or mode is Mode.REPLACE or planned.replaced:
        return False
    return mode is Mode.APPEND or not (_merges(snapshot, planned) and staging.rows)


def _merges(snapshot: Snapshot, planned: Plan) -> bool:
    known = set(snapshot.stored.names)
    return planned.write.mode is Mode.UPSERT and known.issuperset(key_of(planned.write))


@dataclass(frozen=True)
class Storing:
    """One commit of the driver.

    Args:
        snapshot: the table as the write was planned.
        planned: the write.
        staging: its rows, settled.
        feed: hands them over.
        properties: of the commit.
    """

    snapshot: Snapshot
    planned: Plan
    staging: Staging
    feed: Feed
    properties: CommitProperties

    def run(self) -> Applied:
        """Store the rows; returns what became of them."""
        if self.planned.write.changes != Changes():
            return self._change() if self.staging.rows else self._nothing()
        news = self.planned.new_rows(self.staging)
        if self.planned.write.mode is Mode.REPLACE:
            self._overwrite(news)
        elif self._anew:
            with self._kept() as kept:
                self._overwrite(chain(kept.batches(self.planned.stored), news))
        elif self.planned.replaced:
            self._replace(news)
        elif self.staging.rows and _merges(self.snapshot, self.planned):
            source = self.feed.reader(self.planned.stored, news)
            self._merge(keyed(self.planned, self.snapshot), source)
        else:
            self._append(news)
        return Applied(self.staging.rows)

    @property
    def _anew(self) -> bool:
        """Whether rows that are there must be written again."""
        return self.planned.change >= Change.SETTLE

    def _nothing(self) -> Applied:
        if self._anew:
            with closing(Spool(self.staging.folder)) as kept:
                for batch in self.planned.kept_rows(self.snapshot):
                    kept.add(batch)
                self._overwrite(kept.batches(self.planned.stored))
        else:
            self._append(iter(()))
        return Applied()

    def _change(self) -> Applied:
        """Store changes that depend on what is stored."""
        merges = _merges(self.snapshot, self.planned)
        if merges and not self._anew:
            merged = direct(self.snapshot, self.planned, self.staging)
            if merged:
                return self._change_directly(merged)
        with outcome(self.snapshot, self.planned, self.staging) as found:
            if self._anew or found.doubled:
                with closing(Spool(self.staging.folder)) as kept:
                    others = found.without_keys(self.planned.kept_rows(self.snapshot))
                    for batch in chain(others, found.stored):
                        kept.add(batch)
                    self._overwrite(kept.batches(self.planned.stored))
            elif merges:
                whole = replace(keyed(self.planned, self.snapshot), changes=found.keyed)
                self._merge(whole, found.rows)
            else:
                self._append(found.stored)
            return found.applied

    def _change_directly(self, merged: Keyed) -> Applied:
        planned, staging = self.planned, self.staging
        source = self.feed.reader(pa.schema([*planned.stored, *TAKEN]), changed_rows(planned, staging))
        older = count_older(self.snapshot, planned, staging, merged) if merged.changes.operation else None
        done = self._merge(merged, source)
        stored = done["num_target_rows_inserted"] + done["num_target_rows_updated"]
        if older is None:
            older = max(0, done["num_source_rows"] - stored) if merged.newer else 0
        return Applied(stored, done["num_target_rows_deleted"], older)

    @contextmanager
    def _kept(self) -> Iterator[Spool]:
        """The rows that stay, out of the driver's hands: it can't read one table while it writes one."""
        kept = self.planned.kept_rows(self.snapshot)
        if _merges(self.snapshot, self.planned):
            kept = self.planned.without_keys(kept, self.staging)
        with closing(Spool(self.staging.folder)) as spool:
            for batch in kept:
                spool.add(batch)
            yield spool

    def _append(self, rows: Iterator[pa.RecordBatch]) -> None:
        self._write(rows, mode="append", schema_mode=self._grows)

    def _replace(self, rows: Iterator[pa.RecordBatch]) -> None:
        self._write(rows, mode="overwrite", predicate=self.planned.replaced, schema_mode=self._grows)

    def _overwrite(self, rows: Iterator[pa.RecordBatch]) -> None:
        partitions = self.planned.partitions or None
        self._write(rows, mode="overwrite", schema_mode="overwrite", partition_by=partitions)

    @property
    def _grows(self) -> str | None:
        return "merge" if self.planned.stored != self.snapshot.stored else None

    def _write(self, rows: Iterator[pa.RecordBatch], **how: Any) -> None:
        source = self.feed.reader(self.planned.stored, rows)
        write_deltalake(self.snapshot.handle, source, commit_properties=self.properties, **how)

    def _merge(self, merged: Keyed, source: pa.RecordBatchReader) -> dict[str, int]:
        """One MERGE; returns what the driver counted.

        Where nothing changes it commits nothing, be there a position to commit: an append of nothing does.
        """
        handle = self.snapshot.handle
        before = handle.version()
        merger = handle.merge(
            source,
            merged.match,
            source_alias=NEW,
            target_alias=OLD,
            merge_schema=self._grows is not None,
            commit_properties=self.properties,
        )
        if merged.deletes:
            merger = merger.when_matched_delete(merged.deletes)
        if merged.assignments:
            merger = merger.when_matched_update(_quoted(merged.assignments), merged.updates)
        done: dict[str, int] = merger.when_not_matched_insert(
            _quoted(merged.values), merged.inserts
        ).execute()
        if handle.version() == before:
            self._append(iter(()))
        return done


def _quoted(values: dict[str, str]) -> dict[str, str]:
    return {quoted(name): value for name, value in values.items()}
