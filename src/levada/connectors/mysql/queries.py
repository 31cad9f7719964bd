"""A query of the user's, as the server will read it."""

from __future__ import annotations

import re

from levada.errors import ConfigError

#: What a text of SQL is made of, as MySQL and MariaDB take it with an empty `sql_mode`.
#: Source: https://dev.mysql.com/doc/refman/8.4/en/comments.html; `--` needs a space behind it.
_PIECE = re.compile(
    r"""(?P<quoted>'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*`)
    | (?P<comment>--(?=[\s\x00-\x1f]|\Z)[^\n]* | \#[^\n]* | /\*(?!M?!).*?\*/)
    | (?P<other>/\* | .)""",
    re.VERBOSE | re.DOTALL,
)


def one_query(sql: str, where: str) -> str:
    """The text of one query, to be read in brackets: without a semicolon behind it.

    Raises:
        ConfigError: it is several statements, or its brackets and quotes don't match.
    """
    depth, end = 0, None
    for piece in _PIECE.finditer(sql):
        text = piece["other"]
        if (text is None or text.isspace()) and (end is None or not piece["quoted"]):
            continue
        if end is not None and text != ";":
            raise _refused("is more than one statement", where)
        depth += {"(": 1, ")": -1}.get(text or "", 0)
        if text in ("/*", "'", '"', "`") or depth < 0:
            raise _refused("has quotes, brackets or comments that don't match, or /*! comments", where)
        if text == ";":
            end = piece.start() if end is None else end
    if depth:
        raise _refused("has brackets that don't match", where)
    return sql[:end].strip()


def _refused(what: str, where: str) -> ConfigError:
    return ConfigError(f"`sql` {what}", where=where, hint="write one SELECT; it may only read")
