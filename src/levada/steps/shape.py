"""`shape:` as it is written: which columns make which fields of a document.

```yaml
customer_id: customer_id                # a column
_id: {column: id, type: object_id}      # a column, as values of a BSON type
model: {value: v7}                      # the same in every row
scores: {churn: churn_score, ltv: ltv}  # a document; `scores.churn: churn_score` says the same
tags: [tag_1, tag_2]                    # an array
items:                                  # an array of what the rows of one key have
  each: {sku: sku, qty: quantity}
  order_by: line_no
"*": rest                               # all columns that nothing else names, under their own names
```

A mapping with `column`, `value`, `each`, `document` or `array` in it says where a value comes from; any other
mapping is a document. So a document with a field of such a name is written `{document: {value: amount}}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from levada.config.places import KeyPath, nearest
from levada.types.fit import TYPES, kind_named

#: What becomes of a value that is null: BSON's null, no field, or (of documents and arrays) what is left.
IfNull: TypeAlias = Literal["null", "missing", "keep"]

REST: Final = "*"
_DEEPEST = 90  # the server takes 100 levels


class Misshapen(ValueError):
    """A shape that says nothing, or two things.

    Args:
        what: is wrong.
        path: where in the shape.
        hint: what to write.
    """

    def __init__(self, what: str, path: KeyPath = (), hint: str | None = None) -> None:
        super().__init__(what)
        self.what, self.path, self.hint = what, path, hint


@dataclass(frozen=True)
class Column:
    """A value of one column.

    Args:
        name: of the column; `address.city` is a column of that name, or a field of the struct `address`.
        path: of the field in the documents.
        kind: what it becomes; None: what it is.
        truncate: cut times to the millisecond.
    """

    name: str
    path: str
    kind: str | None = None
    truncate: bool = False
    if_null: IfNull = "null"


@dataclass(frozen=True)
class Constant:
    """One value for all rows."""

    value: Any
    path: str
    kind: str | None = None


@dataclass(frozen=True)
class Rest:
    """The columns that nothing else names.

    Args:
        without: those that are left out, too.
    """

    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A document of fields.

    Args:
        if_null: what it is where every column in it is null.
        rest: the other columns are fields of it, too.
    """

    path: str
    fields: dict[str, Node] = field(default_factory=dict)
    rest: Rest | None = None
    if_null: IfNull = "null"


@dataclass(frozen=True)
class Array:
    """An array of values from one row.

    Args:
        nulls: whether elements that are null stay.
        if_null: what it is where every column in it is null.
    """

    path: str
    items: tuple[Node, ...]
    nulls: Literal["drop", "keep"] = "drop"
    if_null: IfNull = "keep"


@dataclass(frozen=True)
class Each:
    """An array with one element per row of a group.

    Args:
        order_by: columns, and whether they run downwards.
        nulls: whether elements stay of whose columns all are null.
    """

    path: str
    element: Node
    order_by: tuple[tuple[str, bool], ...] = ()
    nulls: Literal["drop", "keep"] = "drop"
    if_null: IfNull = "keep"


Node: TypeAlias = Column | Constant | Document | Array | Each


def parse(raw: Any) -> Document:
    """Read a shape.

    Args:
        raw: as it stands in YAML.

    Raises:
        Misshapen: it can't be one; the error says where.
    """
    if not isinstance(raw, Mapping):
        raise Misshapen("a shape is a mapping of fields", hint="write `field: column` for each field")
    if not raw:
        raise Misshapen("the shape is empty", hint="write `field: column` for each field, or `'*': rest`")
    shape = _document(raw, (), "", {})
    if len(rests(shape)) > 1:
        raise Misshapen(f"{REST!r} stands twice", (), "the other columns can go to one place only")
    if isinstance(shape.fields.get("_id"), Array | Each):
        raise Misshapen("MongoDB takes no array as `_id`", ("_id",), "give it a column or a document")
    return shape


def walk(node: Node) -> Iterator[Node]:
    """A node and all in it."""
    yield node
    for inner in _inner(node):
        yield from walk(inner)


def grouped(shape: Document) -> bool:
    """Whether several rows make one document."""
    return any(isinstance(node, Each) for node in walk(shape))


def columns_of(node: Node, *, each: bool = False) -> tuple[str, ...]:
    """The columns that a node names.

    Args:
        each: those of `each` and its order too, or those that are one for a whole group.
    """
    if isinstance(node, Column):
        return (node.name,)
    order = [name for name, _ in node.order_by] if isinstance(node, Each) else []
    if isinstance(node, Each) and not each:
        return ()
    found = [name for inner in _inner(node) for name in columns_of(inner, each=each)]
    return tuple(dict.fromkeys([*found, *order]))


def rests(shape: Document) -> tuple[Rest, ...]:
    """Where the other columns go; one place at most."""
    return tuple(node.rest for node in walk(shape) if isinstance(node, Document) and node.rest)


def at(shape: Document, path: str) -> Node | None:
    """The node of a field, by its dotted path."""
    node: Node | None = shape
    for name in path.split("."):
        node = node.fields.get(name) if isinstance(node, Document) else None
    return node


def _inner(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Document):
        return tuple(node.fields.values())
    if isinstance(node, Array):
        return node.items
    return (node.element,) if isinstance(node, Each) else ()


def _document(raw: Any, place: KeyPath, path: str, options: Mapping[str, Any]) -> Document:
    if not isinstance(raw, Mapping):
        raise Misshapen("a document is a mapping of fields", place)
    if not raw and place:
        raise Misshapen("a document without fields", place, "name one at least, or leave it out")
    if len(place) > _DEEPEST:
        raise Misshapen(f"documents deeper than {_DEEPEST} levels", place)
    rest = _rest(raw[REST], (*place, REST)) if REST in raw else None
    document = Document(path, {}, rest, _if_null(options, place, "null"))
    for key, value in raw.items():
        if key != REST:
            _put(document, str(key), value, (*place, key))
    return document


def _rest(raw: Any, place: KeyPath) -> Rest:
    if raw == "rest":
        return Rest()
    if isinstance(raw, Mapping) and set(raw) == {"except"}:
        return Rest(_names(raw["except"], (*place, "except")))
    raise Misshapen(f"{REST!r} takes `rest`", place, "or `{except: [column, …]}`: all others but those")


def _put(document: Document, key: str, raw: Any, place: KeyPath) -> None:
    """Add a field; dots in its name lead into documents."""
    *above, name = key.split(".")
    for part in (*above, name):
        _check_name(part, key, place)
    for part in above:
        path = f"{document.path}.{part}".lstrip(".")
        inner = document.fields.setdefault(part, Document(path))
        if not isinstance(inner, Document):
            raise Misshapen(f"the field {path!r} is given twice", place, f"it can't hold {key!r} as well")
        document = inner
    path = f"{document.path}.{name}".lstrip(".")
    node, there = _node(raw, place, path), document.fields.get(name)
    if there is None:
        document.fields[name] = node
    elif isinstance(there, Document) and isinstance(node, Document):
        _merge(there, node, place)
    else:
        raise Misshapen(f"the field {path!r} is given twice", place, "leave one of them out")


def _merge(there: Document, more: Document, place: KeyPath) -> None:
    """Two ways to write one document, `a: {b: x}` and `a.c: y`."""
    if twice := sorted(set(there.fields) & set(more.fields)):
        raise Misshapen(f"the field {there.path + '.' + twice[0]!r} is given twice", place)
    if more.rest or more.if_null != "null":
        raise Misshapen(f"the document {there.path!r} is given twice", place, "write it in one place")
    there.fields.update(more.fields)


def _check_name(name: str, key: str, place: KeyPath) -> None:
    if not name:
        raise Misshapen(f"{key!r} is no field name", place, "dots stand between names of documents")
    if name.startswith("$") or "\0" in name:
        raise Misshapen(f"{name!r} is no field name that MongoDB takes", place, "begin it otherwise")


def _node(raw: Any, place: KeyPath, path: str) -> Node:
    if isinstance(raw, str):
        return Column(_column_name(raw, place), path)
    if isinstance(raw, list | tuple):
        return _array(raw, place, path, {})
    if not isinstance(raw, Mapping):
        hint = "a constant is written {value: …}, a column by its name in quotes"
        raise Misshapen(f"{raw!r} is no column", place, hint)
    said = [word for word in _INSTRUCTIONS if word in raw]
    if not said:
        return _document(raw, place, path, {})
    if len(said) > 1:
        raise Misshapen(f"`{said[0]}` and `{said[1]}` exclude each other", place, _as_document(said[0]))
    options, make = _INSTRUCTIONS[said[0]]
    if unknown := [key for key in raw if key not in (said[0], *options)]:
        hint = f"{nearest(str(unknown[0]), options)}; {_as_document(said[0])}"
        raise Misshapen(f"`{said[0]}` has no option {unknown[0]!r}", (*place, unknown[0]), hint)
    given = {key: value for key, value in raw.items() if key != said[0]}
    return make(raw[said[0]], place, path, given)


def _as_document(word: str) -> str:
    return f"a document with a field {word!r} is written {{document: {{{word}: …}}}}"


def _column_name(raw: Any, place: KeyPath) -> str:
    if not isinstance(raw, str) or not raw:
        raise Misshapen("a column is named by a text", place, "quote it")
    return raw


def _column(raw: Any, place: KeyPath, path: str, options: Mapping[str, Any]) -> Column:
    kind, truncate = _kind(options, place), options.get("truncate", False)
    if not isinstance(truncate, bool):
        raise Misshapen("`truncate` is true or false", (*place, "truncate"))
    if truncate and kind not in (None, "date"):
        raise Misshapen("`truncate` is for dates", (*place, "truncate"), "use it with `type: date`")
    if truncate:
        kind = "date"
    return Column(
        _column_name(raw, place), path, kind, truncate, _if_null(options, place, "null", keep=False)
    )


def _constant(raw: Any, place: KeyPath, path: str, options: Mapping[str, Any]) -> Constant:
    return Constant(raw, path, _kind(options, place))


def _each(raw: Any, place: KeyPath, path: str, options: Mapping[str, Any]) -> Each:
    element = _node(raw, (*place, "each"), path)
    inner = list(walk(element))
    if any(isinstance(node, Each) for node in inner):
        raise Misshapen("`each` in `each`", place, "group by the inner key first, in a `sql` step")
    if any(isinstance(node, Document) and node.rest for node in inner):
        raise Misshapen(f"{REST!r} can't stand in `each`", place, "name its columns")
    if not columns_of(element):
        raise Misshapen("`each` names no column", place, "its elements would all be the same")
    order = tuple(_ordered(name) for name in _names(options.get("order_by", ()), (*place, "order_by")))
    return Each(path, element, order, _nulls(options, place), _if_null(options, place, "keep"))


def _ordered(name: str) -> tuple[str, bool]:
    stem, _, way = name.rpartition(" ")
    return (stem.strip(), way.lower() == "desc") if stem and way.lower() in ("asc", "desc") else (name, False)


def _array(raw: Any, place: KeyPath, path: str, options: Mapping[str, Any]) -> Array:
    if not isinstance(raw, list | tuple):
        raise Misshapen("an array is a list of columns", (*place, "array"))
    if not raw:
        raise Misshapen("an array of nothing", place, "name a column, or write {value: []}")
    start = (*place, "array") if options else place
    items = tuple(_node(item, (*start, number), path) for number, item in enumerate(raw))
    inner = [node for item in items for node in walk(item)]
    if any(isinstance(node, Each) or (isinstance(node, Document) and node.rest) for node in inner):
        raise Misshapen(f"`each` and {REST!r} can't stand in an array", place)
    if any(_form(item) != _form(items[0]) for item in items):
        hint = "all values, or all documents of the same fields with the same `if_null`"
        raise Misshapen("the elements of an array are not alike", place, hint)
    return Array(path, items, _nulls(options, place), _if_null(options, place, "keep"))


def _form(node: Node) -> Any:
    """What elements of one array share: a field that only some had would be null in the others."""
    if not isinstance(node, Document):
        return None
    return {name: (getattr(inner, "if_null", None), _form(inner)) for name, inner in node.fields.items()}


def _whole(raw: Any, place: KeyPath, path: str, options: Mapping[str, Any]) -> Document:
    return _document(raw, (*place, "document"), path, options)


def _kind(options: Mapping[str, Any], place: KeyPath) -> str | None:
    name = options.get("type")
    if name is None:
        return None
    kind = kind_named(name) if isinstance(name, str) else None
    if kind is None:
        raise Misshapen(f"unknown type {name!r}", (*place, "type"), nearest(str(name), TYPES))
    return kind


def _if_null(options: Mapping[str, Any], place: KeyPath, default: IfNull, *, keep: bool = True) -> IfNull:
    if "if_null" not in options:
        return default
    choices: dict[Any, IfNull] = {None: "null", "null": "null", "missing": "missing"}
    choices |= {"keep": "keep"} if keep else {}
    raw = options["if_null"]
    if not isinstance(raw, str | None) or raw not in choices:
        hint = "null, missing or keep" if keep else "null or missing"
        raise Misshapen(f"`if_null` can't be {raw!r}", (*place, "if_null"), hint)
    return choices[raw]


def _nulls(options: Mapping[str, Any], place: KeyPath) -> Literal["drop", "keep"]:
    raw = options.get("nulls", "drop")
    if raw == "drop":
        return "drop"
    if raw == "keep":
        return "keep"
    raise Misshapen(f"`nulls` can't be {raw!r}", (*place, "nulls"), "drop or keep")


def _names(raw: Any, place: KeyPath) -> tuple[str, ...]:
    names = (raw,) if isinstance(raw, str) else raw
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise Misshapen("this is a column, or a list of columns", place)
    return tuple(names)


_Make: TypeAlias = Callable[[Any, KeyPath, str, Mapping[str, Any]], Node]

#: The word that says where a value comes from -> its options, and what makes the node.
_INSTRUCTIONS: dict[str, tuple[tuple[str, ...], _Make]] = {
    "column": (("type", "truncate", "if_null"), _column),
    "value": (("type",), _constant),
    "each": (("order_by", "nulls", "if_null"), _each),
    "document": (("if_null",), _whole),
    "array": (("nulls", "if_null"), _array),
}
