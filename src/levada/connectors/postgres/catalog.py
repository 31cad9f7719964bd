"""What PostgreSQL says of a table, and what Levada keeps beside its tables: logical schemas and positions.

| Table | Row |
|---|---|
| `_levada_tables` | `target`, `format`, `logical` (see below) |
| `_levada_positions` | `owner`, `target`, `epoch`, `sequence`, `position` (JSON), `updated_at` |

Both lie in the schema of the tables; `target` is the table's name. They change in the transaction that
changes the table. `logical` is the Arrow schema of the rows, BSON types included; its metadata names the
columns that Levada has made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from levada.connectors.base import Write
from levada.connectors.committed import FORMAT, Committed, logical_of
from levada.connectors.postgres.session import Session
from levada.connectors.sqltext import literal, quoted
from levada.positions import Position
from levada.types.kinds import BSON, NAME, NAMED
from levada.types.layout import HIDDEN_PREFIX
from levada.types.postgres import AS_TEXT, ELEMENTS, MOMENTS, READINGS, Reading, decimal_of, sql_type

#: Bits of `pg_trigger.tgtype`. Source: https://www.postgresql.org/docs/current/catalog-pg-trigger.html and
#: `TRIGGER_TYPE_*` of PostgreSQL's pg_trigger.h.
_BEFORE_EACH_INSERT = 1 | 2 | 4

#: Metadata of a schema that is kept: the columns that Levada has made, as JSON.
_MADE = b"levada.made"

_TABLES = """CREATE TABLE IF NOT EXISTS {schema}._levada_tables (
    target text PRIMARY KEY, format integer NOT NULL, logical bytea NOT NULL)"""
_POSITIONS = """CREATE TABLE IF NOT EXISTS {schema}._levada_positions (
    owner text, target text, epoch bigint NOT NULL, sequence bigint NOT NULL, position text,
    updated_at timestamptz NOT NULL, PRIMARY KEY (owner, target))"""

#: Columns with the type behind their domain. `{base}` gives (num, name, type, modifier, shown, computed).
_COLUMNS = """WITH RECURSIVE base AS (
    {base}
  UNION ALL
    SELECT b.num, b.name, t.typbasetype, t.typtypmod, b.shown, b.computed
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
SELECT b.name::text, b.shown::text, b.computed, b.modifier::int4,
    CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text ELSE '' END,
    CASE WHEN e.oid IS NULL THEN NULL WHEN e.typnamespace = 'pg_catalog'::regnamespace THEN e.typname::text
         ELSE '' END
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
WHERE t.typtype <> 'd' ORDER BY b.num"""
_OF_TABLE = """SELECT a.attnum::int4 AS num, a.attname AS name, a.atttypid AS type, a.atttypmod AS modifier,
    format_type(a.atttypid, a.atttypmod) AS shown, a.attgenerated <> '' AS computed
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped"""

_NAME = re.compile(r'(?:"((?:[^"]|"")+)"|([^".]+))\.(?:"((?:[^"]|"")+)"|([^".]+))', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"]|"")+)"', re.DOTALL)


@dataclass(frozen=True)
class Place:
    """Where a table lies."""

    schema: str
    table: str

    @classmethod
    def of(cls, name: str, schema: str) -> Place:
        """`table` or `schema.table`, the parts in double quotes if need be; any other text is a table."""
        if found := _NAME.fullmatch(name):
            parts = [found[1] or found[2], found[3] or found[4]]
            return cls(*(part.replace('""', '"') for part in parts))
        if alone := _QUOTED.fullmatch(name):
            return cls(schema, alone[1].replace('""', '"'))
        return cls(schema, name)

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.table)}"


@dataclass(frozen=True)
class Column:
    """A column as PostgreSQL has it.

    Args:
        name: of it.
        shown: its type as `format_type` writes it.
        computed: whether the server computes it.
        modifier: of the type behind the domain.
        type: that type's name where it is one of PostgreSQL's own, else empty.
        element: its elements' type likewise, where it is an array; else None.
    """

    name: str
    shown: str
    computed: bool
    modifier: int
    type: str
    element: str | None

    @property
    def reading(self) -> Reading:
        """How its values are read."""
        if self.element is not None:
            return self._array()
        reading = READINGS.get(self.type, AS_TEXT)
        exact = decimal_of(self.modifier) if self.type == "numeric" else None
        if exact is None:
            return reading
        return Reading(exact, reading.select, "{} <> 'NaN'")

    @property
    def field(self) -> pa.Field:
        """The field of its values; decimals whose scale the values decide have none yet."""
        reading = self.reading
        arrow = pa.decimal128(38, 0) if reading.arrow is None else reading.arrow
        label = {BSON: reading.kind.encode()} if reading.kind else None
        return pa.field(self.name, arrow, metadata=label)

    def _array(self) -> Reading:
        plain = "coalesce(array_ndims({}) = 1 AND array_lower({}, 1) = 1, true)"
        element = self.element or ""
        if element in MOMENTS:
            inner = READINGS[element]
            fits = (inner.fits or "true").format(*["e"] * 2)
            every = f"coalesce((SELECT bool_and({fits}) FROM unnest({{}}) AS e), true)"  # noqa: S608
            return Reading(pa.list_(pa.field("item", inner.arrow)), fits=f"{plain} AND {every}")
        if element in ELEMENTS:
            inner = READINGS[element]
            label = {BSON: inner.kind.encode()} if inner.kind else None
            item = pa.field("item", inner.arrow, metadata=label)
            return Reading(pa.list_(item), "{}::text[]" if inner.kind else "{}", plain)
        exact = decimal_of(self.modifier) if element == "numeric" else None
        item = pa.field("item", exact or pa.string())
        numbers = " AND coalesce('NaN' <> ALL ({}), true)" if exact else ""
        return Reading(pa.list_(item), "{}::text[]", plain + numbers)


@dataclass(frozen=True)
class Stored:
    """A table as it is now.

    Args:
        columns: all of them.
        noted: the logical schema that Levada keeps of it.
        made: the names of columns that Levada has made.
    """

    columns: tuple[Column, ...]
    noted: pa.Schema
    made: frozenset[str] = frozenset()

    @cached_property
    def logical(self) -> pa.Schema:
        """Visible columns in their logical types."""
        visible = [column for column in self.columns if not column.name.startswith(HIDDEN_PREFIX)]
        fields = [self.field(column) for column in visible]
        known = {column.name for column in self.columns}
        fields += [one for one in self.noted if pa.types.is_null(one.type) and one.name not in known]
        order = {name: place for place, name in enumerate(self.noted.names)}
        fields.sort(key=lambda one: order.get(one.name, len(order)))
        return pa.schema(fields, metadata=self.noted.metadata)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def owned(self, column: Column) -> bool:
        """Whether the logical schema still describes the column."""
        known = self.noted.names.count(column.name)
        return bool(known) and sql_type(self.noted.field(column.name)) == column.shown

    def alterable(self, column: Column) -> bool:
        """Whether its type is Levada's to change: Levada made the column, and no one else gave it another."""
        return column.name in self.made and (self.owned(column) or column.name not in self.noted.names)

    def field(self, column: Column) -> pa.Field:
        """The logical field of a column."""
        if self.owned(column):
            return self.noted.field(column.name).with_nullable(True)
        found = column.field
        if column.name not in self.noted.names:
            return found
        names = self.noted.field(column.name).metadata or {}
        kept = {key: value for key, value in names.items() if key in (NAME, NAMED)}
        return found.with_metadata({**(found.metadata or {}), **kept}) if kept else found


@dataclass(frozen=True)
class Relation:
    """A table or view.

    Args:
        oid: of it.
        kind: `relkind`: r, p (partitioned), v, m, f.
        rows: as the server estimates them, negative where it does not.
        pages: of the largest table behind it.
        bytes: of the heap, of all partitions.
    """

    oid: int
    kind: str
    rows: float
    pages: int
    bytes: int


class Catalog:
    """The tables of one schema, seen by one session.

    Args:
        session: in a transaction where it writes.
        schema: the schema's name.
    """

    def __init__(self, session: Session, schema: str) -> None:
        self._session = session
        self._name = schema
        self._schema = quoted(schema)

    def lock(self, target: str) -> None:
        """Let no other write of Levada into the table pass until this transaction ends."""
        text = literal(f"levada:{self._name}.{target}")
        self._session.rows(f"SELECT pg_advisory_xact_lock(hashtextextended({text}, 0)) IS NULL")

    def create(self) -> None:
        """Create schema and tables where they are missing; asks for no right that isn't needed."""
        if not self._missing():
            return
        self.lock("_levada_positions")
        found = f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(self._name)}"  # noqa: S608
        if not self._session.rows(found):
            self._session.execute(f"CREATE SCHEMA {self._schema}")
        for statement in (_TABLES, _POSITIONS):
            self._session.execute(statement.format(schema=self._schema))

    def relation(self, target: str) -> Relation | None:
        """A table or view; None if there is none."""
        sql = f"""SELECT c.oid::int8, c.relkind::text, c.reltuples::float8, t.pages, t.bytes
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
            LATERAL (SELECT coalesce(max(pg_relation_size(p.relid)), 0)::int8
                       / current_setting('block_size')::int8 AS pages,
                     coalesce(sum(pg_relation_size(p.relid)), 0)::int8 AS bytes
                     FROM (SELECT c.oid AS relid WHERE c.relkind IN ('r', 'm')
                           UNION ALL SELECT relid FROM pg_partition_tree(c.oid)
                           WHERE c.relkind = 'p' AND isleaf) p) t
            WHERE n.nspname = {literal(self._name)} AND c.relname = {literal(target)}
              AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""  # noqa: S608
        rows = self._session.rows(sql)
        return Relation(*rows[0]) if rows else None

    def held(self, target: str) -> Relation | None:
        """A table or view that nobody changes, truncates or drops until this transaction ends."""
        if self.relation(target) is None:
            return None
        self._session.rows(f"SELECT 1 FROM {self._schema}.{quoted(target)} LIMIT 0")  # noqa: S608
        return self.relation(target)

    def table(self, target: str) -> Stored | None:
        """A table's columns; None if there is no table."""
        relation = self.relation(target)
        if relation is None:
            return None
        columns, noted = columns_of(self._session, _OF_TABLE.format(oid=relation.oid)), self._logical(target)
        metadata = dict(noted.metadata or {})
        made = metadata.pop(_MADE, None)
        names = noted.names if made is None else json.loads(made)  # None: noted before there was this mark
        return Stored(columns, noted.with_metadata(metadata or None), frozenset(names))

    def written(self, target: str) -> bool:
        """Whether someone committed into the table, be it no rows and no columns."""
        if self._missing():
            return False
        sql = f"SELECT 1 FROM {self._schema}._levada_positions WHERE target = {literal(target)} LIMIT 1"  # noqa: S608
        return bool(self._session.rows(sql))

    def note(self, target: str, logical: pa.Schema, made: Iterable[str]) -> None:
        """Keep the logical schema, and which columns Levada has made."""
        marked = {**(logical.metadata or {}), _MADE: json.dumps(sorted(made)).encode()}
        data = logical.with_metadata(marked).serialize().to_pybytes().hex()
        self._session.execute(
            f"INSERT INTO {self._schema}._levada_tables VALUES ({literal(target)}, {FORMAT}, '\\x{data}') "  # noqa: S608
            "ON CONFLICT (target) DO UPDATE SET format = EXCLUDED.format, logical = EXCLUDED.logical"
        )

    def committed(self, owner: str, target: str) -> Committed:
        if self._missing():
            return Committed()
        rows = self._session.rows(
            f"SELECT epoch, sequence, position FROM {self._schema}._levada_positions "  # noqa: S608
            f"WHERE owner = {literal(owner)} AND target = {literal(target)}"
        )
        return Committed(*rows[0]) if rows else Committed()

    def advance(self, write: Write, target: str, position: Position | None) -> None:
        """Store position and epoch, if they are newer than what is there.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is there already.
        """
        known = self.committed(write.owner, target)
        after = known.then(write, position)
        if after == known and write.fence is None:
            return
        values = ", ".join(map(literal, (write.owner, target, after.epoch, after.sequence, after.position)))
        self._session.execute(
            f"INSERT INTO {self._schema}._levada_positions VALUES ({values}, now()) "  # noqa: S608
            "ON CONFLICT (owner, target) DO UPDATE SET epoch = EXCLUDED.epoch, sequence = EXCLUDED.sequence, "
            "position = EXCLUDED.position, updated_at = EXCLUDED.updated_at"
        )

    def unique_on(self, target: str, key: tuple[str, ...]) -> bool:
        """Whether a unique index on exactly these columns decides conflicts."""
        rows = self._session.rows(
            f"""SELECT (SELECT array_agg(a.attname::text) FROM unnest(i.indkey) AS k
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k)
            FROM pg_index i WHERE i.indrelid = {self._oid(target)} AND i.indisunique AND i.indisvalid
              AND i.indimmediate
              AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = i.indnatts"""  # noqa: S608
        )
        return any(set(names or ()) == set(key) for (names,) in rows)

    def primary_key(self, target: str) -> tuple[str, ...]:
        """Its columns, in the key's order; none where there is none."""
        relation = self.relation(target)
        if relation is None:
            return ()
        rows = self._session.rows(
            f"""SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(num, place)
            JOIN pg_attribute a ON a.attnum = k.num
            WHERE i.indrelid = {relation.oid} AND a.attrelid = i.indrelid AND i.indisprimary
            ORDER BY k.place"""  # noqa: S608
        )
        return tuple(name for (name,) in rows)

    def screens(self, target: str) -> bool:
        """Whether a trigger sees each row before it is inserted: it may keep it out."""
        bits = f"tgtype & {_BEFORE_EACH_INSERT} = {_BEFORE_EACH_INSERT}"
        rows = self._session.rows(
            f"""SELECT 1 FROM pg_trigger WHERE tgrelid = {self._oid(target)} AND NOT tgisinternal
            AND tgenabled IN ('O', 'A') AND {bits} LIMIT 1"""  # noqa: S608
        )
        return bool(rows)

    def followers(self, target: str) -> list[str]:
        """Foreign keys by which other rows are deleted or changed where rows of a table are deleted."""
        rows = self._session.rows(
            f"""SELECT conname::text || ' of ' || conrelid::regclass::text FROM pg_constraint
            WHERE contype = 'f' AND confrelid = {self._oid(target)} AND conparentid = 0
              AND confdeltype IN ('c', 'n', 'd') ORDER BY 1"""  # noqa: S608
        )
        return [name for (name,) in rows]

    def _oid(self, target: str) -> str:
        return f"{literal(f'{self._schema}.{quoted(target)}')}::regclass"

    def _missing(self) -> bool:
        sql = f"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {literal(self._name)} AND c.relname IN ('_levada_tables', '_levada_positions')"  # noqa: S608, E501
        return bool(self._session.rows(sql)[0][0] < 2)

    def _logical(self, target: str) -> pa.Schema:
        sql = f"SELECT format, logical FROM {self._schema}._levada_tables WHERE target = {literal(target)}"  # noqa: S608
        rows = [] if self._missing() else self._session.rows(sql)
        return logical_of(target, *rows[0]) if rows else pa.schema([])


def columns_of(session: Session, base: str) -> tuple[Column, ...]:
    """Columns by a SELECT of (num, name, type, modifier, shown, computed)."""
    return tuple(Column(*row) for row in session.rows(_COLUMNS.format(base=base)))


def query_columns(session: Session, query: str) -> tuple[Column, ...]:
    """The columns of a query; their types without modifiers, which PostgreSQL keeps to itself."""
    names = session.columns_of(query)
    if not names:
        return ()
    listed = ", ".join(f"pg_typeof(q.{quoted(name)})::oid::int8 AS t{at}" for at, name in enumerate(names))
    types = session.rows(
        f"SELECT {listed} FROM (SELECT 1) AS one LEFT JOIN LATERAL "  # noqa: S608
        f"(SELECT * FROM ({query}\n) AS x LIMIT 0) AS q ON true"
    )[0]
    values = ", ".join(
        f"({at}, {literal(name)}::name, {oid}::oid, -1, format_type({oid}::oid, NULL), false)"
        for at, (name, oid) in enumerate(zip(names, types, strict=True))
    )
    named = "num, name, type, modifier, shown, computed"
    return columns_of(session, f"SELECT * FROM (VALUES {values}) AS v ({named})")  # noqa: S608
