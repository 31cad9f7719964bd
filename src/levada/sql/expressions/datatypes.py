"""Names of types in SQL -> static types."""

from __future__ import annotations

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.types import (
    BIGINT,
    BLOB,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    MAX_PRECISION,
    OBJECTID,
    TIMESTAMP,
    UUID,
    VARCHAR,
    VARIANT,
    SqlType,
    decimal,
    list_of,
    struct,
)

_T = exp.DType

_PLAIN: dict[exp.DType, SqlType] = {
    _T.BOOLEAN: BOOLEAN,
    **dict.fromkeys((_T.TINYINT, _T.SMALLINT, _T.MEDIUMINT, _T.INT, _T.UTINYINT, _T.USMALLINT), INTEGER),
    **dict.fromkeys((_T.BIGINT, _T.UINT, _T.INT128, _T.UBIGINT, _T.UINT128), BIGINT),
    **dict.fromkeys((_T.DOUBLE, _T.FLOAT), DOUBLE),
    **dict.fromkeys((_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR, _T.BPCHAR, _T.NAME), VARCHAR),
    **dict.fromkeys((_T.BLOB, _T.BINARY, _T.VARBINARY), BLOB),
    **dict.fromkeys(
        (
            _T.TIMESTAMP, _T.TIMESTAMPNTZ, _T.TIMESTAMPTZ, _T.TIMESTAMPLTZ, _T.TIMESTAMP_MS, _T.TIMESTAMP_S,
            _T.TIMESTAMP_NS, _T.DATETIME, _T.DATETIME2,
        ),
        TIMESTAMP,
    ),
    **dict.fromkeys((_T.DATE, _T.DATE32), DATE),
    _T.INTERVAL: INTERVAL,
    _T.UUID: UUID,
    **dict.fromkeys((_T.VARIANT, _T.JSON, _T.JSONB), VARIANT),
}  # fmt: skip

_NAMED = {"objectid": OBJECTID, "variant": VARIANT, "string": VARCHAR}


def sql_type(node: exp.Expression) -> SqlType:
    """The type that a CAST names.

    Raises:
        SqlError: MongoDB has nothing for it.
    """
    if not isinstance(node, exp.DataType):
        return _named(node.name or node.sql(), node)
    if node.this == _T.USERDEFINED:
        return _named(str(node.args.get("kind") or node.sql()), node)
    if node.this in {_T.DECIMAL, _T.BIGDECIMAL}:
        return _decimal(node)
    if node.this in {_T.ARRAY, _T.LIST} and node.expressions:
        return list_of(sql_type(node.expressions[0]))
    if node.this == _T.STRUCT:
        return struct(*((part.name, sql_type(part.args["kind"])) for part in node.expressions))
    if node.this not in _PLAIN:
        raise refuse(f"there is no type {node.sql(dialect='duckdb')} on MongoDB", node)
    return _PLAIN[node.this]


def _named(name: str, node: exp.Expression) -> SqlType:
    kind = _NAMED.get(name.lower().strip('"'))
    if kind is None:
        raise refuse(f"there is no type {name}", node)
    return kind


def _decimal(node: exp.DataType) -> SqlType:
    sizes = [int(part.this.name) for part in node.expressions] or [18, 3]
    precision, scale = sizes[0], sizes[1] if len(sizes) > 1 else 0
    if not 1 <= precision <= MAX_PRECISION or not 0 <= scale <= precision:
        raise refuse(f"DECIMAL has 1 to {MAX_PRECISION} digits, and no more places than digits", node)
    return decimal(precision, scale)
