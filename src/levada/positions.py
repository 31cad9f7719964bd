"""How far a source has been read, as stored beside the data it covers.

A position maps a partition (`""` where there is only one) to a JSON value: a watermark, a resume token or
an offset. `sequence` counts the commits of one owner; sinks refuse a sequence that is not newer, and the
ledger compares it with the sink's to tell a crash from a restored backup.

Stored form (format 1): `{"format": 1, "sequence": 12, "parts": {"": {"$date": "2026-11-24T00:00:00Z"}}}`;
BSON values are written as canonical Extended JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from levada.errors import Fatal

FORMAT = 1


@dataclass(frozen=True)
class Position:
    """Partition -> JSON value, and the number of the commit that stored it."""

    parts: Mapping[str, Any] = field(default_factory=dict)
    sequence: int = 0

    def merge(self, newer: Position) -> Position:
        """Update partition by partition; the higher sequence stays."""
        return Position({**self.parts, **newer.parts}, max(self.sequence, newer.sequence))

    def numbered(self, sequence: int) -> Position:
        return Position(self.parts, sequence)

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "sequence": self.sequence, "parts": dict(self.parts)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Position:
        """Read a stored position.

        Raises:
            Fatal: it was written by a newer Levada.
        """
        if stored.get("format", FORMAT) > FORMAT:
            raise Fatal(
                f"position has format {stored['format']}, this Levada reads up to {FORMAT}",
                hint="upgrade Levada on this machine",
            )
        return cls(dict(stored.get("parts", {})), int(stored.get("sequence", 0)))

    @classmethod
    def from_json(cls, text: str) -> Position:
        return cls.from_dict(json.loads(text))
