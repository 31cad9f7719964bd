"""Walking all documents of a batch in step: one group of equal fields at a time, with numpy.

Every document has a cursor. In each step the next name of the known order is compared with what stands
at all cursors, by words of 8 bytes; those that match are read together and move on. A document that lacks
the field just waits for the next name; one that is at the end leaves. Where the order ends, the first
waiting cursor says which name comes next, and a new name is learned behind the one before it.

The plain walk (`levada.bson.elements`) finishes what is left when few cursors remain or when the
documents have so little in common that steps of a few rows each would cost more than they save.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from levada.bson.documents import Positions
from levada.bson.elements import FIXED, PREFIXED, Malformed, elements_from, value_end
from levada.bson.view import SHORT, Rejects, View

Mask = npt.NDArray[np.bool_]

#: With this many cursors or fewer, the plain walk is faster.
FEW = 12

#: What a step costs, in values of the plain walk: a constant, and a part per cursor compared.
STEP_COST, CURSOR_COST = 40.0, 0.02

#: How far the costs of the steps may be ahead of the values they read before the plain walk takes over.
PATIENCE = 2_000.0


class Spans(NamedTuple):
    """Documents or arrays at one place: int64 rows, and where each starts and ends."""

    rows: Positions
    starts: Positions
    ends: Positions


class Part(NamedTuple):
    """Values of one field and one BSON type: int64 rows, and where each value starts and ends."""

    tag: int
    rows: Positions
    starts: Positions
    ends: Positions


@dataclass
class Shape:
    """What earlier batches taught about the documents at one place: the order of their fields."""

    order: list[bytes] = field(default_factory=list)
    children: defaultdict[bytes, Shape] = field(default_factory=lambda: defaultdict(Shape))


class Walk:
    """One walk over documents (or arrays) at one place.

    Args:
        view: the bytes.
        spans: the documents; their frames (length prefix, terminator) are checked already.
        roots: row -> index of the whole document in the batch, for rejects.
        rejects: where malformed documents are reported.
    """

    def __init__(self, view: View, spans: Spans, roots: Positions, rejects: Rejects) -> None:
        self.view, self.roots, self.rejects = view, roots, rejects
        self.rows, self.begins = spans.rows, spans.starts
        self.at, self.last = spans.starts + 4, spans.ends - 1
        self.spent = 0.0
        self._leave()

    def documents(self, order: list[bytes]) -> dict[bytes, list[Part]]:
        """Name -> the values of that field; `order` is a hint that is used and completed."""
        fields: dict[bytes, list[Part]] = {}
        known = set(order)
        place = 0
        while len(self.rows) > FEW and self.spent < PATIENCE:
            if place == len(order):
                place = self._next_place(order, known)
                if place == len(order):
                    continue
            name = order[place]
            place += 1
            chosen = self._matching(name)
            if chosen is not None:
                parts = self._read(chosen, self.at[chosen] + len(name) + 2)
                fields.setdefault(name, []).extend(parts)
        self._finish(fields)
        return fields

    def arrays(self, rows: int) -> tuple[Positions, list[Part]]:
        """Elements of all arrays, one after the other: how many each row has, and their values.

        Args:
            rows: number of rows; the rows of the parts that are returned count elements.
        """
        found: list[tuple[int, Part]] = []
        step = 0
        while len(self.rows) > FEW and self.spent < PATIENCE:
            starts = self._behind_keys()
            if starts is None:
                break
            found += [(step, part) for part in self._read(slice(None), starts)]
            step += 1
        counts = np.zeros(rows, np.int64)
        for _, part in found:
            counts[part.rows] += 1
        rest = self._finish_arrays(counts)
        edges = np.concatenate(([0], np.cumsum(counts)[:-1])) if rows else counts
        parts = [part._replace(rows=edges[part.rows] + at) for at, part in found]
        parts += [part._replace(rows=edges[part.rows] + at) for at, part in rest]
        return counts, parts

    def _leave(self) -> None:
        going = self.at < self.last
        if not going.all():
            self.rows, self.at, self.last = self.rows[going], self.at[going], self.last[going]
            self.begins = self.begins[going]

    def _next_place(self, order: list[bytes], known: set[bytes]) -> int:
        """Place in the order of the name at the first cursor, learned if it is new.

        Past the end of the order where that name is cut off.
        """
        raw, at, last = self.view.raw, int(self.at[0]), int(self.last[0])
        stop = raw.find(0, at + 1, last)
        if stop < 0:
            self._reject(np.arange(len(self.at)) == 0, "a field name has no end")
            self._leave()
            return len(order)
        name = raw[at + 1 : stop]
        if name in known:
            return order.index(name)
        before = _name_before(raw, int(self.begins[0]) + 4, at, last)
        place = order.index(before) + 1 if before in known else 0
        order.insert(place, name)
        known.add(name)
        return place

    def _matching(self, name: bytes) -> Positions | slice | None:
        """Cursors at this name: their indices, a slice for all, None for none."""
        self.spent += STEP_COST + CURSOR_COST * len(self.at)
        text = name + b"\0"
        base = self.at + 1
        if len(text) > SHORT:
            fits = np.flatnonzero(base + len(text) <= self.last)
            return self._matching_long(text, fits)
        equal = self._word_equals(base, text[:8])
        for at in range(8, len(text), 8):
            equal &= self._word_equals(base + at, text[at : at + 8])
        if equal.all():
            return slice(None)
        chosen = np.flatnonzero(equal)
        return chosen if len(chosen) else None

    def _matching_long(self, text: bytes, chosen: Positions) -> Positions | None:
        for at in range(0, len(text), 8):
            equal = self._word_equals(self.at[chosen] + 1 + at, text[at : at + 8])
            chosen = chosen[equal]
            if not len(chosen):
                return None
        return chosen

    def _word_equals(self, at: Positions, text: bytes) -> Mask:
        words = self.view.u64[at]
        if len(text) < 8:
            words &= np.uint64((1 << 8 * len(text)) - 1)
        equal: Mask = words == np.uint64(int.from_bytes(text, "little"))
        return equal

    def _behind_keys(self) -> Positions | None:
        """Where the values begin behind the keys of the current elements; None if a key is oddly long."""
        self.spent += STEP_COST + CURSOR_COST * len(self.at)
        at = self.at + 1
        for _ in range(16):
            inside = self.view.u8[at] != 0
            if not inside.any():
                return at + 1
            at += inside
        return None

    def _read(self, chosen: Positions | slice, starts: Positions) -> list[Part]:
        """Read the values of the chosen cursors, which begin at `starts`; move the cursors behind them."""
        self.spent -= len(starts)
        rows, last = self.rows[chosen], self.last[chosen]
        tags = self.view.u8[self.at[chosen]]
        ends = np.empty_like(starts)
        parts = []
        if (tags == tags[0]).all():
            ends = self._ends(int(tags[0]), starts, last, rows)
            parts.append(Part(int(tags[0]), rows, starts, ends))
        else:
            for tag in np.unique(tags).tolist():
                which = np.flatnonzero(tags == tag)
                ends[which] = self._ends(tag, starts[which], last[which], rows[which])
                parts.append(Part(tag, rows[which], starts[which], ends[which]))
        lost = ends < 0
        if lost.any():
            parts = [part for part in map(_sound, parts) if len(part.rows)]
            ends = np.where(lost, last, ends)
        if isinstance(chosen, slice):
            self.at = ends
        else:
            self.at = self.at.copy()  # the old one may be the ends of a part
            self.at[chosen] = ends
        self._leave()
        return parts

    def _ends(self, tag: int, starts: Positions, last: Positions, rows: Positions) -> Positions:
        """One past each value; -1 where it does not fit (the document is rejected)."""
        if tag in FIXED:
            ends = starts + FIXED[tag]
            bad = ends > last
            if tag == 8:
                bad |= self.view.u8[np.minimum(starts, last)] > 1
        elif tag in PREFIXED:
            ends, bad = self._prefixed(tag, starts, last)
        else:
            return self._plain(tag, starts, last, rows)
        if bad.any():
            ends[bad] = self._plain(tag, starts[bad], last[bad], rows[bad])
        return ends

    def _prefixed(self, tag: int, starts: Positions, last: Positions) -> tuple[Positions, Mask]:
        least, extra, terminated = PREFIXED[tag]
        lengths = self.view.i32[starts]
        ends = starts + lengths
        ends += extra
        bad = ends > last
        bad |= lengths < least
        if terminated or tag == 12:
            back = 13 if tag == 12 else 1
            at = ends - back if not bad.any() else np.where(bad, starts, ends - back)
            bad |= self.view.u8[at] != 0
        return ends, bad

    def _plain(self, tag: int, starts: Positions, last: Positions, rows: Positions) -> Positions:
        """The same one by one: for regular expressions, and to say what is wrong."""
        ends = np.full_like(starts, -1)
        for place, (at, to) in enumerate(zip(starts.tolist(), last.tolist(), strict=True)):
            try:
                ends[place] = value_end(self.view.raw, tag, at, to)
            except Malformed as error:
                self.rejects.add([int(self.roots[rows[place]])], str(error))
        return ends

    def _reject(self, bad: Mask, reason: str) -> None:
        self.rejects.add(self.roots[self.rows[bad]], reason)
        self.at = np.where(bad, self.last, self.at)

    def _finish(self, fields: dict[bytes, list[Part]]) -> None:
        found: dict[tuple[bytes, int], list[tuple[int, int, int]]] = defaultdict(list)
        for row, at, last in zip(self.rows.tolist(), self.at.tolist(), self.last.tolist(), strict=True):
            try:
                for tag, name, start, end in elements_from(self.view.raw, at, last):
                    found[name, tag].append((row, start, end))
            except Malformed as error:
                self.rejects.add([int(self.roots[row])], str(error))
        for (name, tag), values in found.items():
            columns = np.array(values, np.int64).T.copy()
            fields.setdefault(name, []).append(Part(tag, *columns))

    def _finish_arrays(self, counts: Positions) -> list[tuple[Positions, Part]]:
        found: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
        for row, at, last in zip(self.rows.tolist(), self.at.tolist(), self.last.tolist(), strict=True):
            first = place = int(counts[row])
            try:
                for tag, _, start, end in elements_from(self.view.raw, at, last):
                    found[tag].append((place, row, start, end))
                    place += 1
            except Malformed as error:
                self.rejects.add([int(self.roots[row])], str(error))
            counts[row] += place - first
        parts = []
        for tag, values in found.items():
            places, *columns = np.array(values, np.int64).T.copy()
            parts.append((places, Part(tag, *columns)))
        return parts


def _name_before(raw: bytes, at: int, stop: int, last: int) -> bytes | None:
    """Name of the element that ends where the one at `stop` begins; None if that is the first."""
    if at == stop:
        return None
    return next((name for _, name, _, end in elements_from(raw, at, last) if end == stop), None)


def _sound(part: Part) -> Part:
    good = part.ends >= 0
    return Part(part.tag, part.rows[good], part.starts[good], part.ends[good])
