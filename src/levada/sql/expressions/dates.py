"""Dates and timestamps. A TIMESTAMP is UTC and has milliseconds; a DATE is midnight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bson.int64 import Int64
from sqlglot import exp

from levada.sql.errors import SqlError
from levada.sql.expression import Call, Cast, Expr, Interval
from levada.sql.expressions.formats import format_time, parse_format
from levada.sql.expressions.pieces import bound, fail, known
from levada.sql.expressions.table import Emitted, Function, Signature, Typing, fixed
from levada.sql.expressions.units import MILLISECONDS_OF, MONTHS_OF, unit_of
from levada.sql.types import BIGINT, DATE, DOUBLE, INTERVAL, NULL, TIMESTAMP, VARCHAR, SqlType

_DAY = 86_400_000

DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
]  # fmt: skip


def times(before: Sequence[SqlType], result: SqlType, count: int = 1) -> Typing:
    """First these types, then times: DATEs or TIMESTAMPs, whichever is given."""

    def typing(types: Sequence[SqlType]) -> Signature | None:
        rest = types[len(before) :]
        if len(rest) != count or not all(kind.temporal or kind in {NULL, VARCHAR} for kind in rest):
            return None
        taken = [kind if kind.temporal else TIMESTAMP for kind in rest]
        return Signature((*before, *taken), result)

    return typing


def _upwards(number: Emitted, per: int) -> Emitted:
    """Years in decades or centuries: rounded down, or up."""
    return {"$toLong": {"$floor": {"$divide": [number, per]}}}


def _over(operator: str) -> Callable[[Emitted], Emitted]:
    return lambda date: {operator: date}


def _second_part(factor: int) -> Callable[[Emitted], Emitted]:
    def rule(date: Emitted) -> Emitted:
        whole: Emitted = {"$add": [{"$multiply": [{"$second": date}, 1000]}, {"$millisecond": date}]}
        return whole if factor == 1 else {"$multiply": [whole, factor]}

    return rule


#: Part of a time -> how it is read.
PARTS: Mapping[str, Callable[[Emitted], Emitted]] = {
    "year": _over("$year"),
    "month": _over("$month"),
    "day": _over("$dayOfMonth"),
    "hour": _over("$hour"),
    "minute": _over("$minute"),
    "second": _over("$second"),
    "millisecond": _second_part(1),
    "microsecond": _second_part(1000),
    "quarter": lambda date: {"$toInt": {"$ceil": {"$divide": [{"$month": date}, 3]}}},
    "week": _over("$isoWeek"),
    "isoyear": lambda date: {"$toLong": {"$isoWeekYear": date}},
    "yearweek": lambda date: {
        "$toLong": {"$add": [{"$multiply": [{"$isoWeekYear": date}, 100]}, {"$isoWeek": date}]}
    },
    "dow": lambda date: {"$subtract": [{"$dayOfWeek": date}, 1]},
    "isodow": _over("$isoDayOfWeek"),
    "doy": _over("$dayOfYear"),
    "decade": lambda date: _upwards({"$year": date}, 10),
    "century": lambda date: _upwards({"$add": [{"$year": date}, 99]}, 100),
    "millennium": lambda date: _upwards({"$add": [{"$year": date}, 999]}, 1000),
    "epoch": lambda date: {"$divide": [{"$toLong": date}, 1000]},
    "epoch_ms": lambda date: {"$toLong": date},
    "epoch_us": lambda date: {"$multiply": [{"$toLong": date}, 1000]},
    "timezone": lambda date: {"$cond": [{"$gt": [date, None]}, 0, None]},
}

#: Part -> sqlglot's classes and the names of the functions that give it.
_NAMES: Mapping[str, tuple[type[exp.Expression] | str, ...]] = {
    "year": (exp.Year,),
    "month": (exp.Month,),
    "day": (exp.Day, exp.DayOfMonth),
    "hour": (exp.Hour,),
    "minute": (exp.Minute,),
    "second": (exp.Second,),
    "millisecond": ("millisecond",),
    "microsecond": ("microsecond",),
    "quarter": (exp.Quarter,),
    "week": (exp.Week, exp.WeekOfYear),
    "isoyear": ("isoyear", exp.YearOfWeekIso),
    "yearweek": ("yearweek",),
    "dow": (exp.DayOfWeek, "weekday"),
    "isodow": (exp.DayOfWeekIso,),
    "doy": (exp.DayOfYear,),
    "decade": ("decade",),
    "century": ("century",),
    "millennium": ("millennium",),
    "epoch": (exp.TimeToUnix,),
    "epoch_us": ("epoch_us",),
}

_TITLES = {"dow": "dayofweek", "doy": "dayofyear"}

_EXAMPLES = {
    "year": 2026, "month": 11, "day": 23, "hour": 9, "minute": 5, "second": 7, "millisecond": 7250,
    "microsecond": 7250000, "quarter": 4, "week": 48, "isoyear": 2026, "yearweek": 202648, "dow": 1,
    "isodow": 1, "doy": 327, "decade": 202, "century": 21, "millennium": 3, "epoch": 1795424707.25,
    "epoch_us": 1795424707250000, "timezone": 0,
}  # fmt: skip


def part_name(part: str) -> str:
    """The function that gives a part of a time."""
    return _TITLES.get(part, part)


def _part(part: str) -> Function:
    rule = PARTS[part]
    return Function(
        part_name(part),
        times((), DOUBLE if part == "epoch" else BIGINT),
        lambda _call, args: rule(args[0]),
        nulls="native",
        nodes=_NAMES.get(part, ()),
        parts=("this",),
        takes="time",
        note="ISO: Monday is 1"
        if part == "isodow"
        else "ISO: weeks begin on Monday"
        if part == "week"
        else "",
        example=f"{part_name(part)}(TIMESTAMP '2026-11-23 09:05:07.25') = {_EXAMPLES[part]}"
        if part in _EXAMPLES
        else "",
    )


_BINS = {"decade": ("year", 10), "century": ("year", 100), "millennium": ("year", 1000)}


def _trunc(call: Call, args: list[Emitted]) -> Emitted:
    unit = unit_of(call.args[0], "date_trunc")
    if unit in _BINS:
        unit, size = _BINS[unit]
        return {"$dateTrunc": {"date": args[1], "unit": unit, "binSize": size}}
    if unit == "millisecond":
        return args[1]
    spec = {"date": args[1], "unit": unit}
    return {"$dateTrunc": {**spec, "startOfWeek": "monday"} if unit == "week" else spec}


def _diff(call: Call, args: list[Emitted]) -> Emitted:
    """Boundaries crossed; weeks are days by seven."""
    unit = unit_of(call.args[0], "date_diff")
    dates = {"startDate": args[1], "endDate": args[2]}
    if unit == "week":
        return {"$toLong": {"$trunc": {"$divide": [{"$dateDiff": {**dates, "unit": "day"}}, 7]}}}
    if unit in _BINS:
        size = _BINS[unit][1]
        ends = [{"$floor": {"$divide": [{"$year": date}, size]}} for date in (args[2], args[1])]
        return {"$toLong": {"$subtract": ends}}
    return {"$dateDiff": {**dates, "unit": unit}}


def _shift(sign: int) -> Callable[[Call, list[Emitted]], Emitted]:
    def emit(call: Call, args: list[Emitted]) -> Emitted:
        interval = known(call.args[1])
        if not isinstance(interval, Interval):
            raise SqlError("an INTERVAL must be known before the query runs", hint="write it as a literal")
        shifted = args[0]
        if interval.months:
            shifted = _add_months(call.args[0], shifted, sign * interval.months)
        rest = sign * (interval.days * _DAY + interval.milliseconds)
        return {"$add": [shifted, rest]} if rest else shifted

    return emit


def _add_months(time: Expr, date: Emitted, months: Emitted) -> Emitted:
    """The server's `$dateAdd` is a second off for fractions of seconds before 1970."""
    if isinstance(time, Cast) and time.arg.type == DATE:
        return _date_add(date, "month", months)
    whole = {"$dateTrunc": {"date": date, "unit": "second"}}
    return {"$add": [_date_add(whole, "month", months), {"$millisecond": date}]}


def _date_add(date: Emitted, unit: str, amount: Emitted) -> Emitted:
    return {"$dateAdd": {"startDate": date, "unit": unit, "amount": amount}}


def _add_units(call: Call, args: list[Emitted]) -> Emitted:
    unit = unit_of(call.args[2], "an INTERVAL")
    if unit in MONTHS_OF:
        return _add_months(call.args[0], args[0], {"$multiply": [args[1], MONTHS_OF[unit]]})
    return {"$add": [args[0], {"$multiply": [args[1], MILLISECONDS_OF[unit]]}]}


def _add_days(sign: int) -> Callable[[Call, list[Emitted]], Emitted]:
    return lambda _call, args: {"$add": [args[0], {"$multiply": [args[1], sign * _DAY]}]}


def _days(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$dateDiff": {"startDate": args[1], "endDate": args[0], "unit": "day"}}


def _last_day(_call: Call, args: list[Emitted]) -> Emitted:
    month = {"$dateTrunc": {"date": args[0], "unit": "month"}}
    return {"$add": [_date_add(month, "month", 1), -_DAY]}


def _name(names: Sequence[str], operator: str) -> Callable[[Call, list[Emitted]], Emitted]:
    return lambda _call, args: {"$arrayElemAt": [list(names), {"$subtract": [{operator: args[0]}, 1]}]}


def _make_date(_call: Call, args: list[Emitted]) -> Emitted:
    """`$dateFromParts` lets the 30th of February be the 1st of March: DuckDB does not."""
    year, month, day = args
    made = {"$dateFromParts": {"year": year, "month": month, "day": day}}
    return bound([made], lambda n: {"$cond": [
        {"$and": [{"$eq": [{"$month": n[0]}, month]}, {"$eq": [{"$dayOfMonth": n[0]}, day]}]},
        n[0],
        fail("there is no such date", n[0]),
    ]})  # fmt: skip


def _make_timestamp(_call: Call, args: list[Emitted]) -> Emitted:
    names = ("year", "month", "day", "hour", "minute")
    parts = dict(zip(names, args, strict=False))
    ms = {"$toLong": {"$trunc": {"$multiply": [args[5], 1000]}}}
    return {"$add": [{"$dateFromParts": parts}, ms]}


def _bucket(call: Call, args: list[Emitted]) -> Emitted:
    """Buckets of months are counted from 2000-01-01, others from Monday, 2000-01-03, as DuckDB's."""
    width = known(call.args[0])
    if not isinstance(width, Interval) or bool(width.months) == bool(width.days or width.milliseconds):
        raise SqlError("time_bucket takes an INTERVAL of months, or of days and less", hint="a literal")
    date = args[1]
    if width.months:
        months = {"$add": [{"$multiply": [{"$subtract": [{"$year": date}, 2000]}, 12]}, {"$month": date}, -1]}
        first = {"$multiply": [{"$floor": {"$divide": [months, width.months]}}, width.months]}
        return {"$dateFromParts": {"year": 2000, "month": {"$add": [first, 1]}}}
    length = width.days * _DAY + width.milliseconds
    since: Emitted = {"$subtract": [{"$toLong": date}, Int64(946_857_600_000)]}
    past = {"$mod": [{"$add": [{"$mod": [since, length]}, length]}, length]}
    return {"$subtract": [date, past]}


def _bucket_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 2 or types[0] != INTERVAL or not types[1].temporal:
        return None
    return Signature(tuple(types), types[1])


def _epoch_ms(call: Call, args: list[Emitted]) -> Emitted:
    """Milliseconds to a TIMESTAMP, and back."""
    return {"$toLong": args[0]} if call.args[0].type.temporal else {"$toDate": {"$toLong": args[0]}}


def _epoch_ms_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) == 1 and types[0].temporal:
        return Signature((types[0],), BIGINT)
    return fixed(BIGINT, result=TIMESTAMP)(types)


def _strftime_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 2 or not (types[0].temporal or types[0] == NULL):
        return None
    return Signature((types[0] if types[0].temporal else TIMESTAMP, VARCHAR), VARCHAR)


def _strftime(call: Call, args: list[Emitted]) -> Emitted:
    return format_time(known(call.args[1]), args[0])


def _strptime(safe: bool) -> Callable[[Call, list[Emitted]], Emitted]:
    def emit(call: Call, args: list[Emitted]) -> Emitted:
        spec = {"dateString": args[0], "format": {"$literal": parse_format(known(call.args[1]))}}
        return {"$dateFromString": {**spec, "onError": None} if safe else spec}

    return emit


TABLE = (
    *(_part(part) for part in PARTS if part != "epoch_ms"),
    Function(
        "epoch_ms", _epoch_ms_typing, _epoch_ms, nulls="native", nodes=("make_timestamp_ms",),
        takes="time or milliseconds", example="epoch_ms(1500) = TIMESTAMP '1970-01-01 00:00:01.5'",
    ),
    Function(
        "to_timestamp", fixed(DOUBLE, result=TIMESTAMP),
        lambda _call, args: {"$toDate": {"$toLong": {"$multiply": [args[0], 1000]}}}, nulls="native",
        takes="seconds", example="to_timestamp(1.5) = TIMESTAMP '1970-01-01 00:00:01.5'",
    ),
    Function(
        "date_trunc", times((VARCHAR,), TIMESTAMP), _trunc, nulls="native",
        nodes=(exp.TimestampTrunc, exp.DateTrunc, exp.DatetimeTrunc), parts=("unit", "this"),
        takes="unit, time", note="weeks begin on Monday",
        example="date_trunc('month', DATE '2026-11-23') = TIMESTAMP '2026-11-01 00:00:00'",
    ),
    Function(
        "time_bucket", _bucket_typing, _bucket, nodes=(exp.DateBin,), parts=("this", "expression"),
        takes="interval, time", note="from 2000-01-01 for months, else from Monday, 2000-01-03",
        example="time_bucket(INTERVAL 7 DAY, DATE '2026-11-25') = DATE '2026-11-23'",
    ),
    Function(
        "date_diff", times((VARCHAR,), BIGINT, 2), _diff, nulls="native",
        takes="unit, start, end",
        note="counts boundaries; also datediff(end, start), in days",
        example="date_diff('month', DATE '2026-01-31', DATE '2026-03-01') = 2",
    ),
    Function(
        "date_add", fixed(TIMESTAMP, INTERVAL, result=TIMESTAMP), _shift(1), nulls="native",
        takes="time, interval", note="also time + INTERVAL; the end of a month stays in its month",
        example="(DATE '2026-01-31' + INTERVAL 1 MONTH) = TIMESTAMP '2026-02-28 00:00:00'",
    ),
    Function(
        "date_subtract", fixed(TIMESTAMP, INTERVAL, result=TIMESTAMP), _shift(-1), nulls="native",
        takes="time, interval", note="written time - INTERVAL",
        example="(DATE '2026-03-01' - INTERVAL '36 hours') = TIMESTAMP '2026-02-27 12:00:00'",
    ),
    Function(
        "add units", fixed(TIMESTAMP, BIGINT, VARCHAR, result=TIMESTAMP), _add_units, nulls="native",
        takes="time, amount, unit", note="written time + INTERVAL (amount) unit",
        example="(DATE '2026-01-31' + INTERVAL (1 + 1) DAY) = TIMESTAMP '2026-02-02 00:00:00'",
    ),
    Function(
        "add days", fixed(DATE, BIGINT, result=DATE), _add_days(1), nulls="native", takes="date, days",
        note="written date + days", example="(DATE '2026-01-31' + 1) = DATE '2026-02-01'",
    ),
    Function(
        "subtract days", fixed(DATE, BIGINT, result=DATE), _add_days(-1), nulls="native", takes="date, days",
        note="written date - days", example="(DATE '2026-03-01' - 1) = DATE '2026-02-28'",
    ),
    Function(
        "days between", fixed(DATE, DATE, result=BIGINT), _days, nulls="native", takes="end, start",
        note="written date - date", example="(DATE '2026-03-01' - DATE '2026-02-01') = 28",
    ),
    Function(
        "last_day", times((), DATE), _last_day, nulls="native", nodes=(exp.LastDay,), parts=("this",),
        takes="time", example="last_day(DATE '2028-02-01') = DATE '2028-02-29'",
    ),
    Function(
        "dayname", times((), VARCHAR), _name(DAYS, "$dayOfWeek"), nodes=(exp.Dayname,), parts=("this",),
        takes="time", example="dayname(DATE '2026-11-23') = 'Monday'",
    ),
    Function(
        "monthname", times((), VARCHAR), _name(MONTHS, "$month"), nodes=(exp.Monthname,), parts=("this",),
        takes="time", example="monthname(DATE '2026-11-23') = 'November'",
    ),
    Function(
        "make_date", fixed(BIGINT, BIGINT, BIGINT, result=DATE), _make_date, nodes=(exp.DateFromParts,),
        parts=("year", "month", "day"), takes="year, month, day",
        example="make_date(2026, 11, 23) = DATE '2026-11-23'",
    ),
    Function(
        "make_timestamp", fixed(BIGINT, BIGINT, BIGINT, BIGINT, BIGINT, DOUBLE, result=TIMESTAMP),
        _make_timestamp, nodes=(exp.TimestampFromParts,), parts=("year", "month", "day", "hour", "min",
        "sec"),
        takes="year, month, day, hour, minute, second",
        example="make_timestamp(2026, 11, 23, 9, 5, 7.5) = TIMESTAMP '2026-11-23 09:05:07.5'",
    ),
    Function(
        "strftime", _strftime_typing, _strftime, nulls="native", nodes=(exp.TimeToStr,),
        parts=("this", "format"), takes="time, format",
        note="%Y %m %d %H %M %S %j %g %f %y %I %p %a %A %b %B %u %w %G %V, and %-d and its like",
        example="strftime(DATE '2026-11-23', '%d.%m.%Y') = '23.11.2026'",
    ),
    Function(
        "strptime", fixed(VARCHAR, VARCHAR, result=TIMESTAMP), _strptime(False), nodes=(exp.StrToTime,),
        parts=("this", "format"), takes="text, format", note="%Y %m %d %H %M %S %g %j %G %V %u %z %%",
        example="strptime('23.11.2026', '%d.%m.%Y') = TIMESTAMP '2026-11-23 00:00:00'",
    ),
    Function(
        "try_strptime", fixed(VARCHAR, VARCHAR, result=TIMESTAMP), _strptime(True), nodes=("try_strptime",),
        takes="text, format", note="NULL where strptime fails", may_be_null=True,
        example="(try_strptime('x', '%Y') IS NULL) = TRUE",
    ),
    Function(
        "current_timestamp", fixed(result=TIMESTAMP), lambda _call, _args: "$$NOW", nulls="native",
        nodes=(
            exp.CurrentTimestamp, exp.CurrentDatetime, exp.Localtimestamp, "now", "get_current_timestamp",
            "transaction_timestamp",
        ),
        parts=("none",), note="also now(); the server's clock, the same in the whole query",
        example="(current_timestamp > TIMESTAMP '2020-01-01 00:00:00') = TRUE",
    ),
    Function(
        "current_date", fixed(result=DATE),
        lambda _call, _args: {"$dateTrunc": {"date": "$$NOW", "unit": "day"}}, nulls="native",
        nodes=(exp.CurrentDate,), parts=("none",), note="also today(); in UTC",
        example="(current_date > DATE '2020-01-01') = TRUE",
    ),
)  # fmt: skip
