"""What DuckDB complains of, without what only its own developers understand.

Its texts begin with the kind of error and end with the statement, which is often one that Levada made.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

_KIND = re.compile(r"^(?:[A-Z][\w-]*(?: [A-Z][\w-]*)*) Error: ")
_STATEMENT = re.compile(r"\n+LINE \d+:.*| See also https.*", re.DOTALL)
#: Names that no table of a user has.
_OWN = re.compile(r"\"?_?levada[_ ]\w+\"?")
_NEAR = re.compile(r"\n(?:Candidate bindings:|Candidate tables:|Did you mean) (.*?)\??$", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')

#: What it says -> what is said here, and the advice.
_SAYINGS: tuple[tuple[str, str, str | None], ...] = (
    (
        r'Referenced column "(.+?)" (?:was )?not found .*',
        "there is no column {0!r}",
        None,
    ),
    (r'Referenced table "(.+?)" not found!?', "there is no table {0!r} here", None),
    (r'Values list "(.+?)" does not have a column named "(.+?)"', "{0} has no column {1!r}", None),
    (r'Table "(.+?)" does not have a column named "(.+?)"', "table {0!r} has no column {1!r}", None),
    (r"Table with name (.+?) does not exist!?", "there is no table {0!r}", None),
    (
        r"(?:Scalar|Table|Aggregate) Function with name (.+?) does not exist!?",
        "there is no function {0!r}",
        None,
    ),
    (r'No files found that match the pattern "(.+?)"', "there is no file {0}", "check the path in the query"),
    (
        r"No magic bytes found at end of file '(.+?)'.*",
        "{0} is no Parquet file, or only a part of one",
        "write it again, or read it as what it is: read_csv, read_json",
    ),
)


def told(error: Exception) -> tuple[str, str | None]:
    """What it complains of in a line, and what to do where the text itself says it.

    Args:
        error: of DuckDB.
    """
    text = _STATEMENT.sub("", str(error)).strip()
    near = _NEAR.search(text)
    text = " ".join(_KIND.sub("", _NEAR.sub("", text)).split())
    names = [name for name in _QUOTED.findall(near[1]) if not _OWN.fullmatch(name)] if near else []
    for saying, what, hint in _SAYINGS:
        if found := re.fullmatch(saying, text):
            close = get_close_matches(found.groups()[-1], names, 1)
            return what.format(*found.groups()), f"did you mean {close[0]!r}?" if close else hint
    return text, None
