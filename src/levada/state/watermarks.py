"""The collection `watermarks`: `{job_name, last_processed, updated_at}`, one document per incremental job."""

from __future__ import annotations

from datetime import UTC, datetime

from levada.state.store import FORMAT, Store, check_format, translated

#: Where a job starts that has no watermark yet.
DEFAULT_START = datetime(2000, 1, 1, tzinfo=UTC)


class Watermarks:
    """Up to when each incremental job has processed its source."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, job: str) -> datetime | None:
        """The watermark, UTC; None for a job that has never run."""
        with translated(f"watermark of {job}"):
            found = self._store.collection("watermarks").find_one({"job_name": job})
        check_format(found, f"watermark of {job}")
        return found["last_processed"] if found else None

    def set(self, job: str, moment: datetime) -> None:
        with translated(f"watermark of {job}"):
            self._store.collection("watermarks").update_one(
                {"_id": job},
                {
                    "$set": {
                        "format": FORMAT,
                        "job_name": job,
                        "last_processed": moment,
                        "updated_at": datetime.now(UTC),
                    }
                },
                upsert=True,
            )
