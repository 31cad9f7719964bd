"""PEP 249's errors (https://peps.python.org/pep-0249/#exceptions), each one of Levada's, too.

```
Error(LevadaError)
├── InterfaceError                 the driver was used in a way that makes no sense: a closed cursor
└── DatabaseError
    ├── ProgrammingError(ConfigError)  the SQL, a name or a parameter is wrong
    │   └── SqlError                     told by the compiler, with its place in the text
    ├── DataError(Fatal)               a value: of another type than declared, out of range, can't be cast
    ├── OperationalError(Retriable)    network, step-down, time limit: trying again may help
    ├── RefusedError(Fatal)            rights, memory, a feature that the server lacks: it won't
    ├── InternalError(Fatal)           the server does not take the pipeline: a defect of the compiler
    ├── IntegrityError(Fatal)          never raised by queries
    └── NotSupportedError(ConfigError) rollback and the like
```
"""

from __future__ import annotations

from levada.errors import ConfigError, Fatal, LevadaError, Retriable


class Warning(Exception):  # noqa: A001 - PEP 249 calls it so
    """PEP 249's; never raised."""


class Error(LevadaError):
    """Base of all errors of the driver."""


class InterfaceError(Error):
    """The driver was used in a way that makes no sense."""


class DatabaseError(Error):
    """Base of what a query can end with."""


class ProgrammingError(DatabaseError, ConfigError):
    """The SQL, a name or a parameter is wrong."""


class DataError(DatabaseError, Fatal):
    """A value is of another type than declared, is out of range, or can't be cast."""


class OperationalError(DatabaseError, Retriable):
    """Network, step-down, time limit: trying again later may succeed."""


class RefusedError(DatabaseError, Fatal):
    """The server refuses: rights, memory, a feature it lacks."""


class InternalError(DatabaseError, Fatal):
    """The server does not take the pipeline: a defect of the compiler."""


class IntegrityError(DatabaseError, Fatal):
    """A constraint is broken; never raised by queries."""


class NotSupportedError(DatabaseError, ConfigError):
    """What MongoDB, or this driver, does not do."""
