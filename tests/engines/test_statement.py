from __future__ import annotations

import pytest

from levada.connectors.base import Table
from levada.engines import addresses, read_statement
from levada.errors import ConfigError

pytestmark = pytest.mark.unit

WINDOWED = "where day >= $window_start and day < $window_end"


def resolve(address: str) -> Table:
    connection, _, name = address.partition(".")
    if connection not in ("shop", "lake"):
        raise ConfigError(f"unknown connection {connection!r}")
    return Table(connection, name, time="day")


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("select a, b from shop.t", {"a", "b"}),
        ("select a from shop.t where b > 1 group by a having max(c) > 2", {"a", "b", "c"}),
        ("select s.x.y, items[1].price from shop.t as s", {"x", "items"}),
        ("select address.city from shop.t", {"address"}),
        ("select count(*) from shop.t", set()),
        ("select * from shop.t", None),
        ("select t.* from shop.t as t", None),
        ("with q as (select a from shop.t) select * from q", {"a"}),
        ("select a from (select a, b from shop.t) where a > 1", {"a", "b"}),
        ("select a from shop.t where exists (select 1 from shop.t as u where u.b = t.c)", {"a", "b", "c"}),
        ("select a from shop.t union all select b from shop.t", {"a", "b"}),
        ("select a from shop.t qualify row_number() over (partition by b order by c) = 1", {"a", "b", "c"}),
        ("select upper(a) as a from shop.t group by a", {"a"}),
        ("select a + 1 as b, b * 2 as c from shop.t", None),  # b: a column if there is one, else the alias
        ("select date_trunc('day', a) as day from shop.t group by day", None),
        ("select a as b from shop.t order by b", None),
        ("select t from shop.t", None),  # the row as a whole
        ("select count(x) from shop.t as x", None),
        ("select X.a from shop.t as x", {"a"}),
        ("select shop.t.a, shop.t.s.x from shop.t", {"a", "s"}),
        ("select a, columns('b|c') from shop.t", None),
        ("select y from shop.t as q(x, y)", None),
        ("select x from shop.t pivot (sum(a) for c in ('x', 'y'))", None),
        ("select [x.q for x in items] as l from shop.t", None),
        ("select list_filter(items, lambda i: i.q > b) as l from shop.t", {"items", "b"}),
        ("select t.a, u.b from shop.t natural join lake.u", None),
        ("select t.a, u.b from shop.t join lake.u using (k)", {"a", "k"}),
        ("select t.a, u.b from shop.t join lake.u on t.k = u.k", {"a", "k"}),
        ("select a, b from shop.t join lake.u on t.k = u.k", None),
        ("select a from shop.t where exists (select 1 from lake.u where u.k = t.c)", {"a", "c"}),
        ("select a from shop.t where k in (select k from lake.u where b = 1)", None),  # whose is b?
        ("select t.a, l.b from shop.t, lateral (select u.b from lake.u where u.k = t.k) l", {"a", "k"}),
        ("select a from shop.t where A > 1", None),  # one column to DuckDB, two to MongoDB
    ],
)
def test_a_statement_needs_the_columns_it_names(sql: str, columns: set[str] | None) -> None:
    needed = read_statement(sql, resolve).inputs["shop.t"].columns
    if columns is None:
        assert needed is None
    else:
        assert needed is not None
        assert columns <= needed


@pytest.mark.parametrize(
    ("sql", "windowed"),
    [
        (f"select a from shop.t {WINDOWED}", True),
        (f"select a from shop.t {WINDOWED} and a > 1", True),
        (f"select a from shop.t as x {WINDOWED.replace('day', 'x.day')}", True),
        ("select a from shop.t", False),
        ("select a from shop.t where day >= $window_start", False),
        ("select a from shop.t where day > $window_start and day < $window_end", False),
        ("select a from shop.t where day >= $window_start or day < $window_end", False),
        ("select a from shop.t where other >= $window_start and other < $window_end", False),
        ("select a from shop.t where not (day >= $window_start and day < $window_end)", False),
        (f"select a from shop.t {WINDOWED} union all select a from shop.t", False),
        (f"select x.a from shop.t x join shop.t y on x.a = y.a {WINDOWED.replace('day', 'x.day')}", False),
    ],
)
def test_only_a_bound_on_every_mention_narrows_the_read_to_the_window(sql: str, windowed: bool) -> None:
    assert read_statement(sql, resolve).inputs["shop.t"].windowed is windowed


@pytest.mark.parametrize(
    ("sql", "origins"),
    [
        ("select _id, a as b from shop.t", {"_id": ("shop.t", "_id"), "b": ("shop.t", "a")}),
        ("with q as (select _id as k from shop.t) select k as _id from q", {"_id": ("shop.t", "_id")}),
        ("select upper(_id) as _id from shop.t", {}),
        ("with q as (select upper(_id) as _id from shop.t) select _id from q", {}),
        ("select x._id from shop.t x join lake.t y on x.a = y.a", {"_id": ("shop.t", "_id")}),
        ("select _id from shop.t x join lake.t y on x.a = y.a", {}),
        ("select _id from shop.t union all select a from shop.t", {}),
        ("with q(b, a) as (select a, b from shop.t) select a from q", {}),
        ("select a from (select a, b from shop.t) as q(b, a)", {}),
        ("select a from shop.t as q(b, a)", {}),
    ],
)
def test_only_columns_taken_unchanged_have_an_origin(sql: str, origins: dict[str, tuple[str, str]]) -> None:
    assert read_statement(sql, resolve).origins == origins


def test_a_table_read_twice_is_one_input_with_two_mentions() -> None:
    inputs = read_statement("select * from shop.t a join shop.t b using (k)", resolve).inputs
    assert [(name, item.mentions) for name, item in inputs.items()] == [("shop.t", 2)]


def test_a_table_in_a_recursion_is_scanned_again_and_again() -> None:
    sql = "with recursive r as (select 0 as i union all select i + 1 from r join shop.t on i = a) from r"
    assert read_statement(sql, resolve).inputs["shop.t"].mentions > 1


def test_a_function_is_not_a_table() -> None:
    assert addresses("select i from range(1, 10) as t(i) join lake.t on t.i = lake.t.k") == ("lake.t",)


def test_a_name_of_a_cte_is_not_a_table() -> None:
    assert addresses("with q as (select 1 as a) select a from q join lake.t using (a)") == ("lake.t",)


@pytest.mark.parametrize("tail", [" -- note", "; -- note", ";;", "; /* a ; b */ ;"])
def test_a_select_may_end_with_semicolons_and_notes(tail: str) -> None:
    assert list(read_statement(f"select a from shop.t{tail}", resolve).inputs) == ["shop.t"]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("selec 1", "can't parse"),
        ("select 1; select 2", "not one SELECT"),
        ("select 1; -- note\nselect 2", "not one SELECT"),
        ("delete from shop.t", "not one SELECT"),
        ("select a from t", "unknown table 't'"),
        ("select a from nowhere.t", "unknown connection 'nowhere'"),
        ("select a from shop.t where b = $tomorrow", "tomorrow"),
        ("select a from shop.t where b = ?", "parameter"),
        ("", "not one SELECT"),
        ("select * from (pivot shop.t on c using sum(a))", "subquery"),
    ],
)
def test_what_is_not_one_select_over_known_tables_is_refused(sql: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        read_statement(sql, resolve)
