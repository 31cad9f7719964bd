//! One column under construction: typed values pushed one after the other, rows without one are gaps.

use super::buffers::{Bytes, Decimals, List, fixed, repeat_last};
use super::elements::{
    ARRAY, BINARY, BOOL, DATE, DECIMAL, DOCUMENT, DOUBLE, INT32, INT64, JAVASCRIPT, NULL, OBJECT_ID, STRING,
    SYMBOL, TIMESTAMP, value_size,
};
use super::extjson;
use super::group::Group;
use super::hex;
use super::join::{INT32_DIGITS, INT64_DIGITS};
use super::reason::{Pushed, Stop};
use super::schema::{Kind, Node};

pub(crate) struct Column {
    pub(crate) values: Values,
    pub(crate) len: usize,
    /// Runs of rows without a value: where each begins and how long it is.
    pub(crate) gaps: Vec<(usize, usize)>,
    /// Any value changes the column's field.
    moves: bool,
}

pub(crate) enum Values {
    Null,
    Bool(Vec<u8>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    Date(Vec<i64>),
    Timestamp(Vec<i64>),
    Decimal(Decimals),
    /// With the BSON type.
    Text(u8, Bytes),
    ObjectId(Bytes),
    Uuid(Bytes),
    /// With the subtype.
    Binary(u8, Bytes),
    /// With the level of the document around it.
    Variant(usize, Bytes),
    Document(Box<Group>),
    Array(Box<List>),
}

impl Values {
    /// No values yet, in documents of level `depth`.
    fn new(kind: &Kind, depth: usize) -> Self {
        match kind {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool(Vec::new()),
            Kind::Int32 => Self::Int32(Vec::new()),
            Kind::Int64 => Self::Int64(Vec::new()),
            Kind::Double => Self::Double(Vec::new()),
            Kind::Date => Self::Date(Vec::new()),
            Kind::Timestamp => Self::Timestamp(Vec::new()),
            Kind::Decimal(digits, scale) => Self::Decimal(Decimals::new(*digits, *scale)),
            Kind::String => Self::Text(STRING, Bytes::new()),
            Kind::JavaScript => Self::Text(JAVASCRIPT, Bytes::new()),
            Kind::Symbol => Self::Text(SYMBOL, Bytes::new()),
            Kind::ObjectId => Self::ObjectId(Bytes::new()),
            Kind::Uuid => Self::Uuid(Bytes::new()),
            Kind::Binary(subtype) => Self::Binary(*subtype, Bytes::new()),
            Kind::Variant => Self::Variant(depth, Bytes::new()),
            Kind::Document(members) => Self::Document(Box::new(Group::new(&members.nodes, depth + 1))),
            Kind::Array(item) => {
                let item = Column::new(item, depth + 1);
                Self::Array(Box::new(List { offsets: vec![0], item }))
            }
        }
    }
}

impl Column {
    /// An empty column of values in documents of level `depth`.
    pub(crate) fn new(node: &Node, depth: usize) -> Self {
        let values = Values::new(&node.kind, depth);
        Self { values, len: 0, gaps: Vec::new(), moves: node.given.is_some() }
    }

    /// Pushes the value of type `tag` at the beginning of `rest` as row `row`; its size is returned.
    #[inline]
    pub(crate) fn push(&mut self, tag: u8, rest: &[u8], row: usize) -> Pushed<usize> {
        if self.len != row {
            if self.len > row {
                return Err(Stop::Mismatch);
            }
            self.fill(row);
        }
        if tag == NULL {
            self.fill(row + 1);
            return Ok(0);
        }
        if self.moves {
            return Err(Stop::Mismatch);
        }
        let size = self.push_value(tag, rest)?;
        self.len = row + 1;
        Ok(size)
    }

    #[inline]
    fn push_value(&mut self, tag: u8, rest: &[u8]) -> Pushed<usize> {
        match (&mut self.values, tag) {
            (Values::Text(own, bytes), STRING | JAVASCRIPT | SYMBOL) if *own == tag => {
                let size = value_size(tag, rest)?;
                bytes.push(&rest[4..size - 1])?;
                Ok(size)
            }
            (Values::Decimal(decimals), DECIMAL) => {
                decimals.push(fixed(rest)?)?;
                Ok(16)
            }
            (Values::ObjectId(bytes), OBJECT_ID) => {
                hex::object_id(&mut bytes.data, &fixed(rest)?);
                bytes.end()?;
                Ok(12)
            }
            (Values::Int32(values), INT32) => {
                values.push(i32::from_le_bytes(fixed(rest)?));
                Ok(4)
            }
            (Values::Date(values), DATE)
            | (Values::Int64(values), INT64)
            | (Values::Timestamp(values), TIMESTAMP) => {
                values.push(i64::from_le_bytes(fixed(rest)?));
                Ok(8)
            }
            (Values::Double(values), DOUBLE) => {
                values.push(f64::from_le_bytes(fixed(rest)?));
                Ok(8)
            }
            (Values::Document(group), DOCUMENT) => {
                let size = value_size(tag, rest)?;
                group.read(&rest[4..size - 1], self.len)?;
                Ok(size)
            }
            (Values::Array(list), ARRAY) => {
                let size = value_size(tag, rest)?;
                list.read(&rest[4..size - 1])?;
                Ok(size)
            }
            (Values::Bool(values), BOOL) => {
                let size = value_size(tag, rest)?;
                values.push(rest[0]);
                Ok(size)
            }
            _ => self.push_other(tag, rest),
        }
    }

    #[inline(never)]
    fn push_other(&mut self, tag: u8, rest: &[u8]) -> Pushed<usize> {
        let size = value_size(tag, rest)?;
        let value = &rest[..size];
        match (&mut self.values, tag) {
            (Values::Int64(values), INT32) => {
                values.push(i32::from_le_bytes(fixed(value)?).into());
            }
            (Values::Double(values), INT32) => {
                values.push(i32::from_le_bytes(fixed(value)?).into());
            }
            (Values::Decimal(decimals), INT32) => {
                let number = i32::from_le_bytes(fixed(value)?);
                decimals.push_whole(number.into(), INT32_DIGITS)?;
            }
            (Values::Decimal(decimals), INT64) => {
                decimals.push_whole(i64::from_le_bytes(fixed(value)?), INT64_DIGITS)?;
            }
            (Values::Binary(own, bytes), BINARY) if value[4] == *own => bytes.push(&value[5..])?,
            (Values::Uuid(bytes), BINARY) if value[4] == 4 && size == 21 => {
                hex::uuid(&mut bytes.data, &fixed(&value[5..])?);
                bytes.end()?;
            }
            (Values::Variant(depth, bytes), _) => {
                extjson::write(&mut bytes.data, tag, value, *depth)?;
                bytes.end()?;
            }
            _ => return Err(Stop::Mismatch),
        }
        Ok(size)
    }

    /// Forgets what was pushed.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.gaps.clear();
        match &mut self.values {
            Values::Null => {}
            Values::Bool(values) => values.clear(),
            Values::Int32(values) => values.clear(),
            Values::Int64(values) | Values::Date(values) | Values::Timestamp(values) => {
                values.clear();
            }
            Values::Double(values) => values.clear(),
            Values::Decimal(decimals) => decimals.values.clear(),
            Values::Array(list) => {
                list.offsets.truncate(1);
                list.item.clear();
            }
            Values::Document(group) => group.columns.iter_mut().for_each(Self::clear),
            Values::Text(_, bytes)
            | Values::ObjectId(bytes)
            | Values::Uuid(bytes)
            | Values::Binary(_, bytes)
            | Values::Variant(_, bytes) => {
                bytes.offsets.truncate(1);
                bytes.data.clear();
            }
        }
    }

    /// Adds rows without a value up to `rows`.
    #[inline(never)]
    pub(crate) fn fill(&mut self, rows: usize) {
        let count = rows - self.len;
        if count == 0 {
            return;
        }
        match self.gaps.last_mut() {
            Some((start, length)) if *start + *length == self.len => *length += count,
            _ => self.gaps.push((self.len, count)),
        }
        self.len = rows;
        match &mut self.values {
            Values::Null | Values::Document(_) => {}
            Values::Bool(values) => values.resize(rows, 0),
            Values::Int32(values) => values.resize(rows, 0),
            Values::Int64(values) | Values::Date(values) | Values::Timestamp(values) => {
                values.resize(rows, 0);
            }
            Values::Double(values) => values.resize(rows, 0.0),
            Values::Decimal(decimals) => decimals.values.resize(rows, 0),
            Values::Array(list) => repeat_last(&mut list.offsets, rows),
            Values::Text(_, bytes)
            | Values::ObjectId(bytes)
            | Values::Uuid(bytes)
            | Values::Binary(_, bytes)
            | Values::Variant(_, bytes) => repeat_last(&mut bytes.offsets, rows),
        }
    }
}
