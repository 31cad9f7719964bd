"""Where a `sql` step computes."""

from levada.engines.statement import Input, Statement, addresses, read_statement

__all__ = ["Input", "Statement", "addresses", "read_statement"]
