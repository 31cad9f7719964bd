"""Joins of two relations.

The default for equal keys is `$unionWith` of both sides and one `$group` by the key, which needs no index and
reads each side once. A `$lookup` looks every row of the left up: where that uses an index and there are few
rows on the left, and where no keys must be equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bson.max_key import MaxKey
from bson.min_key import MinKey

from levada.sql.algebra import Join, ids
from levada.sql.expression import Expr, columns, conjunction
from levada.sql.expressions.emit import Place, Row, condition, value
from levada.sql.expressions.pieces import both, given
from levada.sql.expressions.table import Emitted
from levada.sql.lower import costs
from levada.sql.lower.keys import Condition, taken_apart
from levada.sql.lower.lookup import free_name, indexed, looked_up, nested
from levada.sql.lower.relation import lower_relation
from levada.sql.lower.setop import joined_pipelines
from levada.sql.lower.state import (
    Context,
    Lowered,
    Needed,
    cells,
    filtered,
    materialised,
    moved,
    placed,
    said,
)
from levada.sql.plan import Stage

#: Joins that only ask whether there is a match.
_ASKING = frozenset({"semi", "anti", "mark"})


def lower_join(join: Join, needed: Needed, context: Context) -> Lowered:
    """The joined rows."""
    if join.kind == "right":
        join = replace(join, kind="left", left=join.right, right=join.left)
    if join.kind == "cross":
        join = replace(join, kind="inner")
    parts = taken_apart(join)
    left, right = _inputs(join, parts, needed, context)
    if parts.pairs or join.kind == "full":
        found = indexed(left, right, parts, context) if join.kind != "full" else None
        if found is None and join.kind == "inner" and costs.heavier(parts.turned(), parts):
            parts, left, right = parts.turned(), right, left
        if found is None:
            return _Grouped(join, parts, (left, right), needed, context).joined()
        name = free_name(left.row, context.outer)
        looked = looked_up(left, right, found, name)
        rest = _unless(parts, found.place)
        return with_matches(Matches(looked, name, _inside(right, name)), join, rest, context)
    return _nested(join, parts, left, right, context)


def _unless(parts: Condition, place: int) -> Expr | None:
    """What remains of the condition when one pair of keys is dealt with."""
    others = [pair.test for number, pair in enumerate(parts.pairs) if number != place]
    return conjunction([*others, *parts.mentioned()])


def _inputs(join: Join, parts: Condition, needed: Needed, context: Context) -> tuple[Lowered, Lowered]:
    own = {*needed, *(name for expr in parts.mentioned() for name in columns(expr))}
    sides = []
    for number, relation in enumerate((parts.left, parts.right)):
        shown = ids(relation) & own
        if number and join.kind in _ASKING:
            shown = ids(relation) & frozenset(n for expr in parts.mentioned() for n in columns(expr))
        keys = [pair.sides[number] for pair in parts.pairs]
        sides.append(lower_relation(relation, said(keys, shown), context))
    return sides[0], sides[1]


def _inside(right: Lowered, name: str) -> Row:
    """Places of the right's columns in an array of its rows, as a variable of the same name sees them."""
    return {column: moved(place, f"{name}.{column}") for column, place in right.row.items()}


def _nested(join: Join, parts: Condition, left: Lowered, right: Lowered, context: Context) -> Lowered:
    """No keys that must be equal: every row with every row."""
    name = free_name(left.row, context.outer)
    right = materialised(right, right.row)
    if join.condition is not None:
        text = "compares every row of one side with every row of the other: no columns must be equal"
        context.note("join", text, works=False)
    if join.kind == "inner":
        looked = nested(left, right, name, None, context)
        return with_matches(Matches(looked, name, _inside(right, name)), join, parts.rest, context)
    looked = nested(left, right, name, parts.rest, context, one=join.kind in _ASKING)
    return with_matches(Matches(looked, name, _inside(right, name)), join, None, context)


@dataclass(frozen=True)
class Matches:
    """Rows of the left that hold the right's matches as an array.

    Args:
        name: of the field with the array.
        inside: places of the right's columns after `$unwind` of it.
    """

    lowered: Lowered
    name: str
    inside: Row


def with_matches(matches: Matches, join: Join, rest: Expr | None, context: Context) -> Lowered:
    """The result of a join.

    Args:
        rest: a condition that the matches must fulfil, too.
    """
    lowered, name, inside = matches.lowered, matches.name, matches.inside
    row = {**lowered.row, **inside}
    if join.kind == "inner":
        return filtered(lowered.then({"$unwind": f"${name}"}, row=row), rest, context)
    test = None if rest is None else condition(rest, context.row(lowered, _variable(inside)))
    if join.kind == "left":
        stages: list[Stage] = []
        if test is not None:
            kept = {"$filter": {"input": f"${name}", "as": "r", "cond": test}}
            stages.append({"$set": {name: kept}})
        stages.append({"$unwind": {"path": f"${name}", "preserveNullAndEmptyArrays": True}})
        return lowered.then(*stages, row=row)
    if test is None:
        found: Emitted = {"$ne": [f"${name}", []]}
        filters: dict[str, Stage] = {"semi": {name: {"$ne": []}}, "anti": {name: []}}
    else:
        found = {"$anyElementTrue": [{"$map": {"input": f"${name}", "as": "r", "in": test}}]}
        filters = {"semi": {"$expr": found}, "anti": {"$expr": {"$not": [found]}}}
    if join.kind == "mark":
        return lowered.then(row={**lowered.row, join.mark: Place(found, proven=True)})
    return lowered.then({"$match": filters[join.kind]})


def _variable(inside: Row) -> Row:
    """Places of the right's columns where one match is the variable `$$r`."""
    return {name: Place(f"$$r.{name}", proven=True) for name in inside}


class _Grouped:
    """The join by `$unionWith` and `$group`."""

    def __init__(
        self, join: Join, parts: Condition, sides: tuple[Lowered, Lowered], needed: Needed, context: Context
    ) -> None:
        self._join = join
        self._parts = parts
        self._context = context
        left, right = sides
        self._salts = self._shares(left)
        shown = {*needed, *(name for expr in parts.mentioned() for name in columns(expr))}
        self._asking = join.kind in _ASKING and parts.rest is None
        self._left = self._side(left, 0, [name for name in left.row if name in shown])
        self._right = self._side(right, 1, [name for name in right.row if name in shown])

    def _shares(self, left: Lowered) -> int:
        if self._join.kind == "full":
            return 1
        width = costs.width(len(left.row))
        shares = costs.shares(self._parts, width)
        tables = " and ".join(scan.table.name for scan in costs.scans(self._parts.right)) or "a subquery"
        text = f"groups the rows of both sides by the key, to join with {tables}"
        if shares > 1:
            text += f", in {shares} shares: many rows have the same key"
        self._context.note("join", text)
        return shares

    def joined(self) -> Lowered:
        joined = joined_pipelines(self._left, self._right)
        group: Stage = {"_id": "$_id", "l": {"$push": "$l"}}
        group["r"] = {"$max": "$r"} if self._asking else {"$push": "$r"}
        joined = joined.then({"$group": group})
        return self._asked(joined) if self._asking else self._matched(joined)

    def _matched(self, joined: Lowered) -> Lowered:
        if self._join.kind == "full":
            return self._full(joined)
        joined = joined.then({"$unwind": "$l"}, row=self._left.row)
        return with_matches(
            Matches(joined, "r", self._right.row), self._join, self._parts.rest, self._context
        )

    def _asked(self, joined: Lowered) -> Lowered:
        kind, row = self._join.kind, dict(self._left.row)
        if kind == "mark":
            row[self._join.mark] = Place({"$eq": ["$r", 1]}, proven=True)
            return joined.then({"$unwind": "$l"}, row=row)
        return joined.then({"$match": {"r": 1 if kind == "semi" else None}}, {"$unwind": "$l"}, row=row)

    def _full(self, joined: Lowered) -> Lowered:
        row = {**self._left.row, **self._right.row}
        keep = {"preserveNullAndEmptyArrays": True}
        if self._parts.rest is None:
            unwinds = [{"$unwind": {"path": path, **keep}} for path in ("$l", "$r")]
            return joined.then(*unwinds, row=row)
        left = {name: Place(f"$$l.{name}", proven=True) for name in self._left.row}
        test = condition(self._parts.rest, {**self._context.outer, **left, **_variable(self._right.row)})
        pairs = {"$concatArrays": [_with_match(test), _without_match(test)]}
        shape: Stage = {"$project": {"_id": 0, "p": pairs}}
        return joined.then(shape, {"$unwind": "$p"}, {"$replaceWith": "$p"}, row=row)

    def _side(self, side: Lowered, number: int, shown: list[str]) -> Lowered:
        """A side's rows as its key and a document of what is needed of it."""
        row = self._context.row(side)
        keys = [pair.sides[number] for pair in self._parts.pairs]
        values = [value(key, row) for key in keys]
        if number and self._join.kind != "full":
            side = self._present(side, keys, values)
        name = "lr"[number]
        held: Emitted = cells(side, shown) if shown else {"$literal": 1}
        if number and self._asking:
            held = {"$literal": 1}
        places = {one: moved(side.row[one], f"{name}.{one}") for one in shown}
        key = self._key(keys, values, number)
        stages: list[Stage] = [{"$replaceWith": {"_id": self._salted(key, number), name: held}}]
        if self._salts > 1 and number:
            stages.append({"$unwind": "$_id.s"})
        return side.then(*stages, row=places)

    def _salted(self, key: Emitted, number: int) -> Emitted:
        """The key, and one of several shares of the left's rows with it; the right is in all of them."""
        if self._salts <= 1:
            return key
        if number:
            return {"k": key, "s": {"$range": [0, self._salts]}}
        return {"k": key, "s": {"$floor": {"$multiply": [{"$rand": {}}, self._salts]}}}

    def _present(self, side: Lowered, keys: list[Expr], values: list[Emitted]) -> Lowered:
        """The right's rows without a NULL among their keys: nothing matches those."""
        stages: Stage = {}
        others = []
        for pair, key, emitted in zip(self._parts.pairs, keys, values, strict=True):
            if pair.nulls or not key.nullable:
                continue
            if path := placed(emitted).path:
                stages[path] = {"$ne": None}
            else:
                others.append(given(emitted))
        if others:
            stages["$expr"] = both(others)
        return side.then({"$match": stages}) if stages else side

    def _key(self, keys: list[Expr], values: list[Emitted], number: int) -> Emitted:
        pairs = self._parts.pairs
        if not keys:
            return {"$literal": 0}
        whole: Emitted = values[0]
        if len(values) > 1 or pairs[0].nulls:
            whole = {
                f"k{place}": {"$ifNull": [one, None]} if pair.nulls else one
                for place, (pair, one) in enumerate(zip(pairs, values, strict=True))
            }
        tested = zip(pairs, keys, values, strict=True)
        nullable = [given(one) for pair, key, one in tested if key.nullable and not pair.nulls]
        if self._join.kind != "full" or not nullable:
            return whole
        return {"$cond": [both(nullable), whole, MaxKey() if number else MinKey()]}


def _with_match(test: Emitted) -> Emitted:
    """Every row of `l` with each of its matches of `r`, or alone."""
    matches = {"$filter": {"input": "$r", "as": "r", "cond": test}}
    pairs = {"$map": {"input": "$$m", "as": "m1", "in": {"l": "$$l", "r": "$$m1"}}}
    some = {"$cond": [{"$eq": ["$$m", []]}, [{"l": "$$l"}], pairs]}
    each = {"$map": {"input": "$l", "as": "l", "in": {"$let": {"vars": {"m": matches}, "in": some}}}}
    both_ = {"$concatArrays": ["$$value", "$$this"]}
    return {"$reduce": {"input": each, "initialValue": [], "in": both_}}


def _without_match(test: Emitted) -> Emitted:
    """The rows of `r` that no row of `l` matches."""
    some = {"$anyElementTrue": [{"$map": {"input": "$l", "as": "l", "in": test}}]}
    alone = {"$filter": {"input": "$r", "as": "r", "cond": {"$not": [some]}}}
    return {"$map": {"input": alone, "as": "r", "in": {"r": "$$r"}}}
