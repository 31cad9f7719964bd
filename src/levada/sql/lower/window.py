"""Window functions by `$setWindowFields`."""

from __future__ import annotations

from levada.sql.algebra import Window
from levada.sql.errors import SqlError
from levada.sql.lower.state import Context, Lowered, Needed


def lower_window(_relation: Window, _needed: Needed, _context: Context) -> Lowered:
    """The input's rows with the functions' results."""
    raise SqlError("window functions are not ready")
