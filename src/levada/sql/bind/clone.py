"""A second copy of a relation: the same rows under other ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from levada.sql.algebra import (
    Aggregate,
    Apply,
    Join,
    Project,
    Relation,
    Scan,
    SetOperation,
    Stored,
    Unnest,
    Values,
    Window,
    inputs,
    with_expressions,
    with_inputs,
)
from levada.sql.expression import Column, Expr, Subquery, transform


def clone(relation: Relation, new: Callable[[], str]) -> tuple[Relation, Mapping[str, str]]:
    """Copy a relation.

    Args:
        new: gives fresh ids.

    Returns:
        The copy, and old id -> new id of all columns made inside.
    """
    names: dict[str, str] = {}
    return _copy(relation, names, new), names


def renamed(expr: Expr, names: Mapping[str, str]) -> Expr:
    """The expression over other columns; subqueries in it as well."""
    return transform(expr, lambda part: _part(part, names))


def rebound(relation: Relation, change: Callable[[Expr], Expr]) -> Relation:
    """The relation with every plain part of all its expressions changed, subqueries included."""
    below = tuple(rebound(one, change) for one in inputs(relation))
    if below:
        relation = with_inputs(relation, below)

    def deep(part: Expr) -> Expr:
        if isinstance(part, Subquery):
            part = replace(part, relation=rebound(part.relation, change))
        return change(part)

    return with_expressions(relation, lambda expr: transform(expr, deep))


def _part(part: Expr, names: Mapping[str, str]) -> Expr:
    if isinstance(part, Column):
        return replace(part, id=names.get(part.id, part.id))
    if isinstance(part, Subquery):
        return replace(part, relation=rebound(part.relation, lambda inner: _part(inner, names)))
    return part


def _copy(relation: Relation, names: dict[str, str], new: Callable[[], str]) -> Relation:
    below = tuple(_copy(one, names, new) for one in inputs(relation))
    if below:
        relation = with_inputs(relation, below)
    for name in _made(relation):
        names.setdefault(name, new())
    relation = with_expressions(relation, lambda expr: renamed(expr, names))
    return _headed(relation, names)


def _made(relation: Relation) -> tuple[str, ...]:  # noqa: PLR0911 - one case per relation
    match relation:
        case Scan():
            return tuple(name for name, _ in relation.fields)
        case Values() | SetOperation():
            return tuple(column.id for column in relation.header)
        case Project():
            return tuple(name for name, _ in relation.items)
        case Join():
            return (relation.mark,) if relation.mark else ()
        case Apply():
            return (relation.id,) if relation.id else ()
        case Aggregate():
            return tuple(name for name, _ in (*relation.groups, *relation.aggregates))
        case Window():
            return tuple(name for name, _ in relation.calls)
        case Unnest():
            return (relation.id, relation.ordinality) if relation.ordinality else (relation.id,)
        case Stored():
            return tuple(column.id for column, _ in relation.fields)
    return ()


def _headed(relation: Relation, names: Mapping[str, str]) -> Relation:  # noqa: PLR0911, C901
    def pairs(items: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
        return tuple((names[name], item) for name, item in items)

    def header(columns: tuple[Column, ...]) -> tuple[Column, ...]:
        return tuple(replace(column, id=names[column.id]) for column in columns)

    match relation:
        case Scan():
            return replace(relation, fields=pairs(relation.fields))
        case Values() | SetOperation():
            return replace(relation, header=header(relation.header))
        case Project():
            return replace(relation, items=pairs(relation.items))
        case Join() if relation.mark:
            return replace(relation, mark=names[relation.mark])
        case Apply() if relation.id or relation.column:
            column = names.get(relation.column, relation.column)
            return replace(relation, id=names.get(relation.id, relation.id), column=column)
        case Aggregate():
            return replace(relation, groups=pairs(relation.groups), aggregates=pairs(relation.aggregates))
        case Window():
            return replace(relation, calls=pairs(relation.calls))
        case Unnest():
            place = names.get(relation.ordinality, "")
            return replace(relation, id=names[relation.id], ordinality=place)
        case Stored():
            return replace(
                relation, fields=tuple((replace(c, id=names[c.id]), there) for c, there in relation.fields)
            )
    return relation
