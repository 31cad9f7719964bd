"""What the server and the driver complain about, as Levada's errors.

Source of the numbers: https://mariadb.com/kb/en/mariadb-error-code-reference/
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from levada.errors import ConfigError, Fatal, LevadaError, Retriable

_NUMBERED = re.compile(r"ERROR (\d+) \(([0-9A-Z]{5})\): (.*)", re.DOTALL)
_CONNECTION_STATE = "08"

_LOGIN = "check `user` and `password`, and from which hosts the server lets this user in"
_RIGHT = "`levada doctor` prints the grant that reading needs"
_LATER = "it is tried again"

#: Number -> Levada's error and the advice.
_MEANINGS: Mapping[int, tuple[type[LevadaError], str]] = {
    **dict.fromkeys((1045, 1698, 1251, 1524), (ConfigError, _LOGIN)),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370), (ConfigError, _RIGHT)),
    1049: (ConfigError, "check `database`"),
    1146: (ConfigError, "`levada doctor` lists the tables"),
    **dict.fromkeys((1054, 1064, 1305, 1630, 1052), (ConfigError, "check the names and the condition")),
    **dict.fromkeys((1060, 1166), (ConfigError, "give every column of the query a name of its own")),
    1792: (ConfigError, "a source only reads: leave out what writes"),
    1356: (ConfigError, "the view names what is no longer there: mend it"),
    **dict.fromkeys(
        (1290, 1836), (ConfigError, "the server takes no temporary tables: read a table or a view")
    ),
    **dict.fromkeys((1205, 1213, 1317, 1040, 1203, 1053, 1927), (Retriable, _LATER)),
    **dict.fromkeys((1158, 1159, 1160, 1161, 2002, 2003, 2006, 2013, 4031), (Retriable, _LATER)),
    **dict.fromkeys((1969, 3024), (Fatal, "the server's time limit ended it: ask for smaller windows")),
    **dict.fromkeys((1021, 1037, 1041, 1114), (Retriable, "the server has no room left")),
    1129: (ConfigError, "the server blocks this host: mysqladmin flush-hosts"),
    1153: (Fatal, "raise the server's max_allowed_packet"),
}

#: What the driver says without a number; the first that is found counts.
_SAYINGS: tuple[tuple[str, type[LevadaError], str], ...] = (
    ("Tls", ConfigError, "check `tls` and `tls_ca_file`"),
    ("secure connection", ConfigError, "the server has no TLS: check `tls`"),
    ("Only support single query", Retriable, "the connection broke: it is tried again"),
    ("max_allowed_packet", Fatal, "raise the server's max_allowed_packet"),
    ("Unknown authentication", ConfigError, "the driver does not know the user's way to log in"),
    ("not implemented", Fatal, "leave that column out with `columns`"),
    ("No such file", ConfigError, "check `tls_ca_file`"),
    ("Could not connect", Retriable, "check that the server runs, `host` and `port`"),
    ("Codec", Retriable, _LATER),
    ("Io", Retriable, _LATER),
    ("timed out", Retriable, _LATER),
)


def translate(text: str, where: str, secret: str = "") -> LevadaError:
    """The Levada error that says the same.

    Args:
        text: what the driver says.
        where: which table, or which server.
        secret: is cut out, should the driver ever repeat it.
    """
    text = " ".join((text.replace(secret, "…") if secret else text).split()).rstrip(" })")
    numbered = _NUMBERED.search(text)
    if numbered:
        number, state, said = int(numbered[1]), numbered[2], numbered[3]
        said += ")" * (said.count("(") - said.count(")"))  # of the driver's own brackets one was the server's
        lost = (Retriable, _LATER) if state.startswith(_CONNECTION_STATE) else (Fatal, None)
        meaning, hint = _MEANINGS.get(number, lost)
        return meaning(f"MySQL: {said} ({number})", where=where, hint=hint)
    for saying, kind, advice in _SAYINGS:
        if saying in text:
            return kind(f"MySQL: {text}", where=where, hint=advice)
    return Fatal(f"MySQL: {text}", where=where)
