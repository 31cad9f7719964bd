"""Aggregates over pairs of numbers: covariance, correlation, regression. Pairs with a NULL are left out.

Formulas: those of the SQL standard, by sums of products.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bson.decimal128 import Decimal128

from levada.sql.expressions.folding import Fold
from levada.sql.expressions.ordering import NAN
from levada.sql.expressions.table import Emitted

_ZERO: Final = Decimal128(Decimal(0))


@dataclass(frozen=True)
class _Moments:
    """Sums over the pairs, with 34 digits, so that what is left of differences is right to 16."""

    n: Emitted
    x: Emitted
    y: Emitted
    xx: Emitted
    yy: Emitted
    xy: Emitted

    @classmethod
    def of(cls, fold: Fold) -> _Moments:
        y, x = ({"$add": [arg, _ZERO]} for arg in fold.args)
        sums = [x, y, {"$multiply": [x, x]}, {"$multiply": [y, y]}, {"$multiply": [x, y]}]
        found = [fold.add("$sum", fold.where(one, 0, 1)) for one in sums]
        return cls(pairs(fold), *found)

    def spread(self, both: Emitted, one: Emitted, other: Emitted) -> Emitted:
        """Sum of products of distances from the means."""
        return {"$subtract": [both, {"$divide": [{"$multiply": [one, other]}, self.n]}]}

    @property
    def sxx(self) -> Emitted:
        return self.spread(self.xx, self.x, self.x)

    @property
    def syy(self) -> Emitted:
        return self.spread(self.yy, self.y, self.y)

    @property
    def sxy(self) -> Emitted:
        return self.spread(self.xy, self.x, self.y)

    def over(self, value: Emitted, least: int = 1) -> Emitted:
        """The value as a DOUBLE; null where there are fewer pairs."""
        return {"$cond": [{"$gte": [self.n, least]}, {"$toDouble": value}, None]}


def pairs(fold: Fold) -> Emitted:
    return fold.add("$sum", 1 if fold.sure(0, 1) else {"$cond": [fold.present(0, 1), 1, 0]})


def covariance_pop(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    return sums.over({"$divide": [sums.sxy, sums.n]})


def covariance(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    return sums.over({"$divide": [sums.sxy, {"$subtract": [sums.n, 1]}]}, 2)


def correlation(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    flat = {"$or": [{"$eq": [sums.sxx, 0]}, {"$eq": [sums.syy, 0]}]}
    ratio = {"$divide": [sums.sxy, {"$sqrt": {"$multiply": [sums.sxx, sums.syy]}}]}
    return sums.over({"$cond": [flat, NAN, ratio]})


def determination(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    square = {"$divide": [{"$pow": [sums.sxy, 2]}, {"$multiply": [sums.sxx, sums.syy]}]}
    level = {"$cond": [{"$eq": [sums.syy, 0]}, 1.0, square]}
    return sums.over({"$cond": [{"$eq": [sums.sxx, 0]}, None, level]})


def slope(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    return sums.over({"$cond": [{"$eq": [sums.sxx, 0]}, None, {"$divide": [sums.sxy, sums.sxx]}]})


def intercept(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    rise = {"$multiply": [{"$divide": [sums.sxy, sums.sxx]}, sums.x]}
    value = {"$divide": [{"$subtract": [sums.y, rise]}, sums.n]}
    return sums.over({"$cond": [{"$eq": [sums.sxx, 0]}, None, value]})


def mean_x(fold: Fold) -> Emitted:
    return fold.add("$avg", fold.where(fold.args[1], 0, 1))


def mean_y(fold: Fold) -> Emitted:
    return fold.add("$avg", fold.where(fold.args[0], 0, 1))


def squares_x(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    return sums.over(sums.sxx)


def squares_y(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    return sums.over(sums.syy)


def products(fold: Fold) -> Emitted:
    sums = _Moments.of(fold)
    return sums.over(sums.sxy)
