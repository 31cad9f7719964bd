//! How a column widens: the least kind that holds what is known and what was seen.
//!
//! int32 joins double as double; int64 and decimal do not. Decimals and integers (of 10 and 19 digits) are
//! a decimal while the most digits before the point and places after it are 38 together. Everything else
//! of two kinds is a variant.

use super::decimal::{Decimal128, PRECISION};
use super::elements::{
    ARRAY, BINARY, BOOL, DATE, DECIMAL, DOCUMENT, DOUBLE, INT32, INT64, JAVASCRIPT, OBJECT_ID, STRING,
    SYMBOL, TIMESTAMP,
};
use super::schema::{Kind, MAX_LEVELS, Members, Node};

/// A document with more distinct names than this below the top is a map with moving keys: a variant.
pub(crate) const MAX_FIELDS: usize = 1_000;

/// Digits of the largest int32 and int64.
pub(crate) const INT32_DIGITS: i64 = 10;
pub(crate) const INT64_DIGITS: i64 = 19;

/// The kind of one value (not null) in a document of level `depth`.
pub(crate) fn seen(tag: u8, value: &[u8], depth: usize) -> Kind {
    match tag {
        DOUBLE => Kind::Double,
        STRING => Kind::String,
        DOCUMENT if depth < MAX_LEVELS => Kind::Document(Members::default()),
        ARRAY if depth < MAX_LEVELS => Kind::Array(Box::new(Node::new("item", Kind::Null))),
        BINARY => match value[4] {
            4 if value.len() == 21 => Kind::Uuid,
            2 | 4 => Kind::Variant,
            subtype => Kind::Binary(subtype),
        },
        OBJECT_ID => Kind::ObjectId,
        BOOL => Kind::Bool,
        DATE => Kind::Date,
        JAVASCRIPT => Kind::JavaScript,
        SYMBOL => Kind::Symbol,
        INT32 => Kind::Int32,
        TIMESTAMP => Kind::Timestamp,
        INT64 => Kind::Int64,
        DECIMAL => {
            let facts = value.first_chunk().and_then(|raw| Decimal128::read(*raw).facts());
            facts.map_or(Kind::Variant, |(digits, places)| decimal(digits, places))
        }
        _ => Kind::Variant,
    }
}

fn decimal(digits: i64, places: i64) -> Kind {
    match u8::try_from(places) {
        Ok(scale) if digits + places <= PRECISION => Kind::Decimal(digits, scale),
        _ => Kind::Variant,
    }
}

impl Node {
    /// Widens this column so that it holds a value of the kind `seen`.
    pub(crate) fn widen(&mut self, seen: Kind) {
        if self.kind == Kind::Null {
            self.extra.clear();
            self.kind = seen;
        } else {
            let known = std::mem::replace(&mut self.kind, Kind::Variant);
            self.kind = join(known, seen);
        }
        self.given = None;
    }
}

fn join(known: Kind, seen: Kind) -> Kind {
    use Kind::{Array, Decimal, Document, Double, Int32, Int64, Variant};
    match (known, seen) {
        (Document(members), Document(_)) if members.nodes.len() <= MAX_FIELDS => {
            let settled = |node: Node| {
                let name = node.name.clone();
                node.settled(&name)
            };
            Document(Members::new(members.nodes.into_iter().map(settled).collect()))
        }
        (Array(item), Array(_)) => Array(Box::new(item.settled("item"))),
        (Int32, Int64) | (Int64, Int32) => Int64,
        (Int32, Double) | (Double, Int32) => Double,
        (Decimal(digits, scale), Decimal(more, places)) => {
            decimal(digits.max(more), i64::from(scale.max(places)))
        }
        (Decimal(digits, scale), Int32) | (Int32, Decimal(digits, scale)) => {
            decimal(digits.max(INT32_DIGITS), scale.into())
        }
        (Decimal(digits, scale), Int64) | (Int64, Decimal(digits, scale)) => {
            decimal(digits.max(INT64_DIGITS), scale.into())
        }
        (Document(_), _) | (Array(_), _) => Variant,
        (known, seen) if known == seen => known,
        _ => Variant,
    }
}
