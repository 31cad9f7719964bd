"""One lattice of types: what BSON, Arrow and others have in common, and how they widen.

`kinds` is the table of kinds, `lattice` says how they join, `extjson` writes variants, `cast` moves rows up.
"""

from levada.types.cast import cast, struct
from levada.types.kinds import BSON, DIGITS, KINDS, MAX_FIELDS, TAGS, Kind, field_of, kind_of
from levada.types.lattice import join, widen

__all__ = [
    "BSON",
    "DIGITS",
    "KINDS",
    "MAX_FIELDS",
    "TAGS",
    "Kind",
    "cast",
    "field_of",
    "join",
    "kind_of",
    "struct",
    "widen",
]
