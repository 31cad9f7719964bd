"""The collection `watermarks`: `{job_name, last_processed, updated_at}`, one document per incremental job."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from bson.decimal128 import Decimal128

from levada.state.store import FORMAT, Store, check_format, translated

#: Where a job starts that has no watermark yet.
DEFAULT_START = datetime(2000, 1, 1, tzinfo=UTC)


class Watermarks:
    """Up to when each incremental job has processed its source."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, job: str) -> datetime | int | float | Decimal | None:
        """The watermark, a time in UTC or a number; None for a job that has never run."""
        with translated(f"watermark of {job}"):
            found = self._store.readable("watermarks").find_one({"job_name": job})
        check_format(found, f"watermark of {job}")
        value = found.get("last_processed") if found else None
        return value.to_decimal() if isinstance(value, Decimal128) else value

    def set(self, job: str, reached: datetime | int | float | Decimal) -> None:
        """Note how far a job has come."""
        with translated(f"watermark of {job}"):
            self._store.collection("watermarks").update_one(
                {"job_name": job},  # one that another program has kept so far is taken over
                {
                    "$setOnInsert": {"_id": job},
                    "$set": {
                        "format": FORMAT,
                        "last_processed": _bson(reached),
                        "updated_at": datetime.now(UTC),
                    },
                },
                upsert=True,
            )


def _bson(value: datetime | int | float | Decimal) -> datetime | int | float | Decimal128:
    """As BSON has it: integers of more than 64 bits are decimals there."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        return Decimal128(Decimal(value))
    return value
