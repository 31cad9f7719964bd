"""How aggregates are computed: MongoDB accumulators, and the result from their fields.

`$sum`, `$min`, `$max` and `$avg` leave null and missing out by themselves, as SQL's aggregates do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from levada.sql.errors import SqlError
from levada.sql.expression import AggregateCall, Call, Cast, Constant, Expr, SortKey, WindowCall
from levada.sql.expressions import ordering
from levada.sql.expressions.ordering import NAN, NEGATIVE
from levada.sql.expressions.table import Emitted
from levada.sql.types import INTEGER, SqlType

#: What an accumulator gives over no rows, where that is not null.
_OVER_NOTHING: Final[dict[str, Any]] = {"$sum": 0, "$push": []}

#: Accumulators whose results over parts of the rows give, accumulated again, the result over all.
MERGING: Final = frozenset({"$sum", "$min", "$max"})


@dataclass
class Accumulators:
    """The accumulators of one `$group` or one set of windows, each once.

    Args:
        prefix: of their fields' names.
    """

    prefix: str = "a"
    fields: dict[str, dict[str, Emitted]] = field(default_factory=dict)

    def add(self, operator: str, value: Emitted) -> str:
        """Accumulate; gives the path of the result."""
        for name, known in self.fields.items():
            if known == {operator: value} and repr(known) == repr({operator: value}):
                return f"${name}"
        name = f"{self.prefix}{len(self.fields)}"
        self.fields[name] = {operator: value}
        return f"${name}"

    def nothing(self) -> dict[str, Any]:
        """The fields over no rows at all."""
        return {name: _OVER_NOTHING.get(next(iter(body))) for name, body in self.fields.items()}

    @property
    def merging(self) -> bool:
        """Whether they can be accumulated again."""
        return all(next(iter(body)) in MERGING for body in self.fields.values())


@dataclass(frozen=True)
class Fold:
    """One aggregate call about to be folded.

    Args:
        call: as bound.
        args: emitted; each a path, a variable or a constant where it is cheap to say it twice.
        keys: emitted keys of its ORDER BY.
        kept: emitted FILTER: true where a row counts; None: always.
        into: takes the accumulators.
        empty: whether it may have to fold no rows at all.
        sliding: whether rows leave the frame again, as in a window.
    """

    call: AggregateCall | WindowCall
    args: list[Emitted]
    keys: list[Emitted]
    kept: Emitted | None
    into: Accumulators
    empty: bool = True
    sliding: bool = False

    def sure(self, *places: int) -> bool:
        """Whether no row is left out: these arguments are never NULL and there is no FILTER."""
        return self.kept is None and not any(self.call.args[place].nullable for place in places)

    def always(self, *places: int) -> bool:
        """Whether there is certainly a row that counts."""
        return self.sure(*places) and not self.empty

    def value(self, place: int = 0) -> Emitted:
        """An argument; null where FILTER leaves the row out."""
        value = self.args[place]
        return value if self.kept is None else {"$cond": [self.kept, value, None]}

    def present(self, *places: int) -> Emitted:
        """Whether the row counts: FILTER keeps it, and these arguments are not NULL."""
        tests = [] if self.kept is None else [self.kept]
        tests += [{"$gt": [self.args[p], None]} for p in places if self.call.args[p].nullable]
        return tests[0] if len(tests) == 1 else {"$and": tests}

    def where(self, value: Emitted, *places: int, otherwise: Emitted = None) -> Emitted:
        """The value where the row counts."""
        return value if self.sure(*places) else {"$cond": [self.present(*places), value, otherwise]}

    def pushed(self, value: Emitted, *places: int) -> Emitted:
        """The array of a value of every row that counts."""
        if self.sure(*places):
            return self.add("$push", value)
        if not self.sliding:
            return self.add("$push", self.where(value, *places, otherwise="$$REMOVE"))
        # A window that takes back what it pushed must have pushed something for every row.
        held = self.add("$push", self.where({"v": value}, *places))
        kept = {"$filter": {"input": held, "as": "f", "cond": {"$gt": ["$$f", None]}}}
        return {"$map": {"input": kept, "as": "f", "in": "$$f.v"}}

    def add(self, operator: str, value: Emitted) -> str:
        return self.into.add(operator, value)

    def type(self, place: int = 0) -> SqlType:
        return self.call.args[place].type


def refusal(text: str, seen: Emitted) -> Emitted:
    """An expression that fails with this text as soon as it is evaluated.

    Args:
        seen: anything that depends on the row: constants would be evaluated, and fail, beforehand.
    """
    empty = {"$substrCP": [{"$type": seen}, 0, 0]}
    return {"$toInt": {"$concat": [f"levada: {text}", empty]}}


def count(fold: Fold) -> Emitted:
    if len(fold.args) > 1:
        raise SqlError("count takes one value", hint="count(DISTINCT struct_pack(...)) counts pairs")
    places = range(len(fold.args))
    return fold.add("$sum", 1 if fold.sure(*places) else {"$cond": [fold.present(*places), 1, 0]})


def count_if(fold: Fold) -> Emitted:
    tests = [{"$eq": [fold.args[0], True]}] + ([] if fold.kept is None else [fold.kept])
    found = fold.add("$sum", {"$cond": [tests[0] if len(tests) == 1 else {"$and": tests}, 1, 0]})
    if fold.always(0):
        return found
    return {"$cond": [{"$gt": [fold.add("$max", fold.value()), None]}, found, None]}


def total(fold: Fold) -> Emitted:
    added = fold.add("$sum", fold.value())
    result: Emitted = added
    if fold.call.type.name == "BIGINT" and not _small(fold.call.args[0]):
        beyond = refusal("a sum is beyond the range of BIGINT", added)
        result = {"$cond": [{"$eq": [{"$type": added}, "double"]}, beyond, added]}
    if fold.always(0):
        return result
    return {"$cond": [{"$gt": [fold.add("$max", fold.value()), None]}, result, None]}


def _small(arg: Expr) -> bool:
    """Whether so many values can't be summed that the sum leaves BIGINT."""
    return isinstance(arg, Cast) and arg.implicit and arg.arg.type in {INTEGER}


def average(fold: Fold) -> Emitted:
    if fold.type().temporal:
        mean = fold.add("$avg", {"$toLong": fold.value()})
        return {"$toDate": {"$toLong": mean}}
    mean = fold.add("$avg", fold.value())
    return {"$toDouble": mean} if fold.type().name == "DECIMAL" else mean


def least(fold: Fold) -> Emitted:
    if fold.type().name != "DOUBLE":
        return fold.add("$min", fold.value())
    number = {"$gte": [fold.args[0], NEGATIVE]}
    test = number if fold.kept is None else {"$and": [fold.kept, number]}
    without = fold.add("$min", {"$cond": [test, fold.args[0], None]})
    return {"$ifNull": [without, fold.add("$max", fold.value())]}  # NaN where there is nothing else


def greatest(fold: Fold) -> Emitted:
    most = fold.add("$max", fold.value())
    if fold.type().name != "DOUBLE":
        return most
    return {"$cond": [{"$eq": [fold.add("$min", fold.value()), NAN]}, NAN, most]}


def any_value(fold: Fold) -> Emitted:
    return fold.add("$min", fold.value())


def single(fold: Fold) -> Emitted:
    """The value of a group that may have one row at most."""
    rows = fold.add("$sum", 1)
    several = refusal("a scalar subquery gives more than one row", rows)
    return {"$cond": [{"$gt": [rows, 1]}, several, fold.add("$first", fold.args[0])]}


def all_true(fold: Fold) -> Emitted:
    return fold.add("$min", fold.value())


def any_true(fold: Fold) -> Emitted:
    return fold.add("$max", fold.value())


# One row of a group: the first, the last, the one with the least or greatest.


def first(fold: Fold) -> Emitted:
    return _end(fold, 1)


def last(fold: Fold) -> Emitted:
    return _end(fold, -1)


def _end(fold: Fold, side: int) -> Emitted:
    if not fold.call.order and fold.kept is None:
        return fold.add("$first" if side > 0 else "$last", fold.args[0])
    sort = _parts(fold)
    directions = {part.direction for part in sort}
    if len(directions) == 1:
        least = directions.pop() * side > 0
        keyed = {f"k{place}": _dense(part.value) for place, part in enumerate(sort)}
        whole: Emitted = {**keyed, "v": _dense(fold.args[0])}
        if fold.kept is not None:
            whole = {"$cond": [fold.kept, whole, None]}
        return f"{fold.add('$min' if least else '$max', whole)}.v"
    return {"$arrayElemAt": [_collected(fold, keep_nulls=True), 0 if side > 0 else -1]}


def arg_min(fold: Fold) -> Emitted:
    return _by(fold, "$min")


def arg_max(fold: Fold) -> Emitted:
    return _by(fold, "$max")


def _by(fold: Fold, operator: str) -> Emitted:
    key = SortKey(fold.call.args[1], False, True)
    keyed = {f"k{place}": part.value for place, part in enumerate(ordering.parts(key, fold.args[1]))}
    whole = fold.where({**keyed, "v": fold.args[0]}, 0, 1)
    return f"{fold.add(operator, whole)}.v"


# Values collected in an array.


def _dense(value: Emitted) -> Emitted:
    return {"$ifNull": [value, None]}


def _parts(fold: Fold) -> list[ordering.Part]:
    pairs = zip(fold.call.order, fold.keys, strict=True)
    return [part for key, value in pairs for part in ordering.parts(key, value)]


def _collected(fold: Fold, *, keep_nulls: bool = False) -> Emitted:
    """The argument's values as an array, in the order of the call's ORDER BY."""
    value = _dense(fold.args[0]) if keep_nulls and fold.call.args[0].nullable else fold.args[0]
    places = () if keep_nulls else (0,)
    sort = _parts(fold)
    if not sort:
        return fold.pushed(value, *places)
    keys = {f"k{place}": part.value for place, part in enumerate(sort)}
    pushed = fold.pushed({**keys, "v": value}, *places)
    by = {f"k{place}": part.direction for place, part in enumerate(sort)}
    return {"$map": {"input": {"$sortArray": {"input": pushed, "sortBy": by}}, "as": "o", "in": "$$o.v"}}


def _unless_empty(array: Emitted, value: Emitted, name: str = "all") -> Emitted:
    """The value, computed from the array under the name `$$all`; null where it has no items."""
    filled = {"$gt": [{"$size": f"$${name}"}, 0]}
    return {"$let": {"vars": {name: array}, "in": {"$cond": [filled, value, None]}}}


def listed(fold: Fold) -> Emitted:
    return _unless_empty(_collected(fold, keep_nulls=True), "$$all")


def joined(fold: Fold) -> Emitted:
    separator: Emitted = {"$literal": ","}
    if len(fold.args) > 1:
        separator = {"$literal": constant(fold.call.args[1], "the separator of string_agg")}
    # Strings are put together in pieces, or the time would grow with the square of their number.
    piece = {"$max": [{"$toInt": {"$ceil": {"$sqrt": {"$size": "$$all"}}}}, 1]}
    starts = {"$range": [0, {"$size": "$$all"}, "$$piece"]}
    slices = {"$slice": ["$$all", "$$start", "$$piece"]}
    pieces = {"$map": {"input": starts, "as": "start", "in": _concatenated(slices, separator)}}
    whole = {"$let": {"vars": {"piece": piece}, "in": _concatenated(pieces, separator)}}
    return _unless_empty(_collected(fold), whole)


def _concatenated(strings: Emitted, separator: Emitted) -> Emitted:
    both = {"$concat": ["$$value", separator, "$$this"]}
    first = {"$eq": ["$$value", None]}
    return {
        "$reduce": {"input": strings, "initialValue": None, "in": {"$cond": [first, "$$this", both]}},
    }


def product(fold: Fold) -> Emitted:
    times = {"$reduce": {"input": "$$all", "initialValue": 1.0, "in": {"$multiply": ["$$value", "$$this"]}}}
    return _unless_empty(_collected(fold), times)


def mode(fold: Fold) -> Emitted:
    """`args`: a distinct value, and how often it comes."""
    often = {"n": {"$multiply": [fold.args[1], -1]}, "v": fold.args[0]}
    return f"{fold.add('$min', fold.where(often, 0))}.v"


# Quantiles.


def median(fold: Fold) -> Emitted:
    if fold.call.type == fold.type() and fold.type().name not in {"DOUBLE", "DECIMAL", "TIMESTAMP"}:
        return _quantiles(fold, [0.5], _discrete)
    return _quantiles(fold, [0.5], _continuous)


def quantile(fold: Fold) -> Emitted:
    discrete = fold.call.name == "quantile_disc"
    given = constant(fold.call.args[1], f"the fraction of {fold.call.name}")
    several = isinstance(given, tuple | list)
    fractions = [float(one) for one in (given if several else [given])]
    if any(not 0 <= one <= 1 for one in fractions):
        raise SqlError(f"the fraction of {fold.call.name} is between 0 and 1")
    return _quantiles(fold, fractions, _discrete if discrete else _continuous, several=several)


def _quantiles(fold: Fold, fractions: list[float], take: Any, *, several: bool = False) -> Emitted:
    values = fold.pushed(fold.args[0], 0)
    ordered: Emitted = {"$sortArray": {"input": values, "sortBy": 1}}
    if fold.type().name == "DOUBLE":  # BSON's order has NaN first
        numbers = {"$filter": {"input": ordered, "as": "x", "cond": {"$gte": ["$$x", NEGATIVE]}}}
        others = {"$filter": {"input": values, "as": "x", "cond": {"$eq": ["$$x", NAN]}}}
        ordered = {"$concatArrays": [numbers, others]}
    if fold.call.order and fold.call.order[0].descending:
        ordered = {"$reverseArray": ordered}
    found = [take(fold, one) for one in fractions]
    return _unless_empty(ordered, found if several else found[0])


def _discrete(_fold: Fold, fraction: float) -> Emitted:
    """The first value at or behind the fraction."""
    place = {"$subtract": [{"$ceil": {"$multiply": [{"$size": "$$all"}, fraction]}}, 1]}
    return {"$arrayElemAt": ["$$all", {"$toInt": {"$max": [place, 0]}}]}


def _continuous(fold: Fold, fraction: float) -> Emitted:
    """Between the two values around the fraction."""
    place = {"$multiply": [{"$subtract": [{"$size": "$$all"}, 1]}, fraction]}
    low = {"$arrayElemAt": ["$$all", {"$toInt": {"$floor": "$$place"}}]}
    high = {"$arrayElemAt": ["$$all", {"$toInt": {"$ceil": "$$place"}}]}
    rest = {"$subtract": ["$$place", {"$floor": "$$place"}]}
    between = _between(fold.call.type.item or fold.call.type)
    exact = {"$cond": [{"$eq": [{"$trunc": "$$place"}, "$$place"]}, _as_result(fold, "$$low"), between]}
    inner = {"$let": {"vars": {"low": low, "high": high, "rest": rest}, "in": exact}}
    return {"$let": {"vars": {"place": place}, "in": inner}}


def _as_result(fold: Fold, value: str) -> Emitted:
    kind = fold.call.type.item or fold.call.type
    return {"$toDouble": value} if kind.name == "DOUBLE" else value


def _between(kind: SqlType) -> Emitted:
    if kind.name == "DOUBLE":
        low = {"$multiply": ["$$low", {"$subtract": [1.0, "$$rest"]}]}
        return {"$add": [low, {"$multiply": ["$$high", "$$rest"]}]}
    distance = {"$multiply": [{"$subtract": ["$$high", "$$low"]}, "$$rest"]}
    if kind.name == "DECIMAL":
        return {"$trunc": [{"$toDecimal": {"$add": ["$$low", distance]}}, kind.scale]}
    return {"$add": ["$$low", {"$toLong": distance}]}


# Spread.


def deviation(fold: Fold) -> Emitted:
    return fold.add("$stdDevSamp", fold.value())


def deviation_pop(fold: Fold) -> Emitted:
    return fold.add("$stdDevPop", fold.value())


def variance(fold: Fold) -> Emitted:
    return {"$pow": [deviation(fold), 2]}


def variance_pop(fold: Fold) -> Emitted:
    return {"$pow": [deviation_pop(fold), 2]}


def constant(expr: Expr, what: str) -> Any:
    """The value of an argument that must be known beforehand.

    Args:
        what: names it in the error.
    """
    match expr:
        case Constant():
            return expr.value
        case Cast():
            return constant(expr.arg, what)
        case Call(name="list" | "array" | "list_value"):
            return _constants(expr.args, what)
    raise SqlError(f"{what} must be known beforehand")


def _constants(args: Sequence[Expr], what: str) -> tuple[Any, ...]:
    return tuple(constant(arg, what) for arg in args)
