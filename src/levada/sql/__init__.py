"""SQL that runs inside MongoDB.

```python
import levada

connection = levada.sql.connect("mongodb://localhost/shop")
cursor = connection.cursor()
cursor.execute("select status, count(*) from transactions where total > ? group by 1", [100])
print(cursor.fetchall())
```

`connect` is a PEP 249 driver; `compile(sql, catalog)` gives the pipeline without asking a server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levada.sql.catalog import Catalog, Field, FixedCatalog, Index, TableSchema
    from levada.sql.compiler import compile  # noqa: A004
    from levada.sql.driver import connect
    from levada.sql.errors import SqlError
    from levada.sql.plan import Plan

__all__ = [
    "Catalog",
    "Field",
    "FixedCatalog",
    "Index",
    "Plan",
    "SqlError",
    "TableSchema",
    "compile",
    "connect",
]

#: Names that bring drivers with them, imported when they are first used.
_LAZY = {
    "Catalog": "levada.sql.catalog",
    "Field": "levada.sql.catalog",
    "FixedCatalog": "levada.sql.catalog",
    "Index": "levada.sql.catalog",
    "Plan": "levada.sql.plan",
    "SqlError": "levada.sql.errors",
    "TableSchema": "levada.sql.catalog",
    "compile": "levada.sql.compiler",
    "connect": "levada.sql.driver",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'levada.sql' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
