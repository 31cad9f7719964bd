//! Columns prepared for writing: what each field's kind says, with the BSON type settled beforehand.
//!
//! The kind is the label in the field's metadata (`levada.bson`) where the Arrow type can carry it, else
//! what the Arrow type says.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    BinaryType, ByteArrayType, Date32Type, Date64Type, Decimal128Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, LargeBinaryType, LargeUtf8Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, Utf8Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

const LABEL: &str = "levada.bson";
const EXTENSION: &str = "ARROW:extension:name";

/// A type, label or name that this encoder leaves to others.
pub(super) struct Unsupported(pub(super) String);

pub(super) type Members = Vec<Member>;

/// A column as a member of documents.
pub(super) struct Member {
    /// BSON type, name, NUL.
    pub(super) header: Vec<u8>,
    pub(super) column: Column,
}

pub(super) struct Column {
    pub(super) tag: u8,
    pub(super) rows: usize,
    pub(super) nulls: Option<NullBuffer>,
    pub(super) values: Values,
}

pub(super) enum Values {
    Null,
    Bool(BooleanBuffer),
    Int32(ScalarBuffer<i32>),
    /// int64, timestamps of BSON, dates in milliseconds.
    Int64(ScalarBuffer<i64>),
    Double(ScalarBuffer<f64>),
    /// Dates finer than a millisecond, and how many of their units a millisecond has.
    Finer(ScalarBuffer<i64>, i64),
    Seconds(ScalarBuffer<i64>),
    Decimal(ScalarBuffer<i128>, i32),
    Text(Pieces),
    Binary(Pieces, u8),
    ObjectId(Pieces),
    Uuid(Pieces),
    Variant(Pieces),
    Document(Members),
    Array(Edges, Box<Column>),
}

/// Where the values of a column of variable length lie.
pub(super) enum Edges {
    Small(OffsetBuffer<i32>),
    Large(OffsetBuffer<i64>),
    Fixed(usize),
}

impl Edges {
    /// The range of a row; None where it is none.
    #[inline]
    pub(super) fn range(&self, row: usize) -> Option<std::ops::Range<usize>> {
        let (start, end) = match self {
            Edges::Small(offsets) => (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize),
            Edges::Large(offsets) => (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize),
            Edges::Fixed(width) => (row.checked_mul(*width)?, (row + 1).checked_mul(*width)?),
        };
        (start <= end).then_some(start..end)
    }
}

impl Edges {
    /// From the beginning of the first row to the end of the last; 0 where that is no range.
    fn span(&self, rows: usize) -> usize {
        let start = self.range(0).map_or(0, |first| first.start);
        let end = rows.checked_sub(1).and_then(|last| self.range(last)).map_or(0, |last| last.end);
        end.saturating_sub(start)
    }
}

/// Texts or bytes of any length.
pub(super) struct Pieces {
    edges: Edges,
    data: Buffer,
}

impl Pieces {
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        self.data.get(self.edges.range(row)?)
    }
}

/// A size that these columns' documents have together at least, seen from the texts alone.
pub(super) fn least_size(members: &Members) -> usize {
    let spans = members.iter().map(|member| match &member.column {
        Column { nulls: None, rows, values: Values::Text(pieces) | Values::Binary(pieces, _), .. } => {
            pieces.edges.span(*rows)
        }
        _ => 0,
    });
    spans.fold(0, usize::saturating_add)
}

/// Prepare the columns of documents.
pub(super) fn members(columns: &[ArrayRef], fields: &[FieldRef]) -> Result<Members, Unsupported> {
    let mut names = HashSet::new();
    let mut found = Vec::with_capacity(columns.len());
    for (array, field) in columns.iter().zip(fields) {
        let name = field.name();
        if name.contains('\0') || !names.insert(name) {
            return Err(Unsupported(format!("the name {name:?} twice, or with NUL")));
        }
        let column = column(array, field)?;
        let header = [&[column.tag], name.as_bytes(), &[0]].concat();
        found.push(Member { header, column });
    }
    Ok(found)
}

fn column(array: &ArrayRef, field: &Field) -> Result<Column, Unsupported> {
    let label = field.metadata().get(LABEL).map_or("", String::as_str);
    let odd = label.contains(':') && !label.starts_with("binary:");
    if odd || field.metadata().contains_key(EXTENSION) {
        return unsupported(field);
    }
    let (tag, values) = match field.data_type() {
        DataType::Null => (10, Values::Null),
        DataType::Boolean => (8, Values::Bool(array.as_boolean().values().clone())),
        DataType::Int8 => (16, small::<Int8Type>(array)),
        DataType::Int16 => (16, small::<Int16Type>(array)),
        DataType::UInt8 => (16, small::<UInt8Type>(array)),
        DataType::UInt16 => (16, small::<UInt16Type>(array)),
        DataType::Int32 => (16, Values::Int32(array.as_primitive::<Int32Type>().values().clone())),
        DataType::UInt32 => (whole_tag(label), wide::<UInt32Type>(array, i64::from)),
        DataType::Int64 => (whole_tag(label), Values::Int64(raw::<Int64Type>(array))),
        DataType::UInt64 => (19, unsigned(array)),
        DataType::Float16 => (1, double::<Float16Type>(array, f64::from)),
        DataType::Float32 => (1, double::<Float32Type>(array, f64::from)),
        DataType::Float64 => (1, Values::Double(array.as_primitive::<Float64Type>().values().clone())),
        DataType::Date32 => (9, wide::<Date32Type>(array, |days| i64::from(days) * 86_400_000)),
        DataType::Date64 => (9, Values::Int64(raw::<Date64Type>(array))),
        DataType::Timestamp(unit, _) => (9, moments(array, *unit)),
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>().values().clone();
            (19, Values::Decimal(values, i32::from(*scale)))
        }
        DataType::Utf8 => text(pieces::<Utf8Type>(array, Edges::Small), label),
        DataType::LargeUtf8 => text(pieces::<LargeUtf8Type>(array, Edges::Large), label),
        DataType::Binary => bytes(pieces::<BinaryType>(array, Edges::Small), label)?,
        DataType::LargeBinary => bytes(pieces::<LargeBinaryType>(array, Edges::Large), label)?,
        DataType::FixedSizeBinary(width) => {
            let data = array.as_fixed_size_binary().value_data();
            let edges = Edges::Fixed(*width as usize);
            bytes(Pieces { edges, data: Buffer::from(data) }, label)?
        }
        DataType::Struct(fields) => (3, Values::Document(members(array.as_struct().columns(), fields)?)),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            elements(Edges::Small(list.offsets().clone()), list.values(), item)?
        }
        DataType::LargeList(item) => {
            let list = array.as_list::<i64>();
            elements(Edges::Large(list.offsets().clone()), list.values(), item)?
        }
        DataType::FixedSizeList(item, size) => {
            let list = array.as_fixed_size_list();
            elements(Edges::Fixed(*size as usize), list.values(), item)?
        }
        _ => return unsupported(field),
    };
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    Ok(Column { tag, rows: array.len(), nulls, values })
}

fn unsupported<T>(field: &Field) -> Result<T, Unsupported> {
    Err(Unsupported(format!("column {:?} of type {}", field.name(), field.data_type())))
}

fn whole_tag(label: &str) -> u8 {
    if label == "timestamp" { 17 } else { 18 }
}

/// The subtype that a label of binary data names: none is 0.
fn subtype(label: &str) -> Result<u8, Unsupported> {
    match label.split_once(':') {
        Some((_, digits)) => u8::from_str_radix(digits, 16).map_err(|_| Unsupported(label.into())),
        None => Ok(0),
    }
}

fn raw<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> ScalarBuffer<i64> {
    array.as_primitive::<T>().values().clone()
}

fn small<T: ArrowPrimitiveType>(array: &ArrayRef) -> Values
where
    T::Native: Into<i32>,
{
    let values = array.as_primitive::<T>().values();
    Values::Int32(values.iter().map(|value| (*value).into()).collect())
}

fn wide<T: ArrowPrimitiveType>(array: &ArrayRef, convert: fn(T::Native) -> i64) -> Values {
    let values = array.as_primitive::<T>().values();
    Values::Int64(values.iter().map(|value| convert(*value)).collect())
}

fn double<T: ArrowPrimitiveType>(array: &ArrayRef, convert: fn(T::Native) -> f64) -> Values {
    let values = array.as_primitive::<T>().values();
    Values::Double(values.iter().map(|value| convert(*value)).collect())
}

fn unsigned(array: &ArrayRef) -> Values {
    let values = array.as_primitive::<UInt64Type>().values();
    Values::Decimal(values.iter().map(|value| i128::from(*value)).collect(), 0)
}

fn moments(array: &ArrayRef, unit: TimeUnit) -> Values {
    match unit {
        TimeUnit::Second => Values::Seconds(raw::<TimestampSecondType>(array)),
        TimeUnit::Millisecond => Values::Int64(raw::<TimestampMillisecondType>(array)),
        TimeUnit::Microsecond => Values::Finer(raw::<TimestampMicrosecondType>(array), 1_000),
        TimeUnit::Nanosecond => Values::Finer(raw::<TimestampNanosecondType>(array), 1_000_000),
    }
}

fn pieces<T: ByteArrayType>(array: &ArrayRef, edges: fn(OffsetBuffer<T::Offset>) -> Edges) -> Pieces {
    let array = array.as_bytes::<T>();
    Pieces { edges: edges(array.offsets().clone()), data: array.values().clone() }
}

fn bytes(pieces: Pieces, label: &str) -> Result<(u8, Values), Unsupported> {
    Ok((5, Values::Binary(pieces, subtype(label)?)))
}

fn text(pieces: Pieces, label: &str) -> (u8, Values) {
    match label {
        "objectId" => (7, Values::ObjectId(pieces)),
        "uuid" => (5, Values::Uuid(pieces)),
        "variant" => (0, Values::Variant(pieces)),
        "javascript" => (13, Values::Text(pieces)),
        "symbol" => (14, Values::Text(pieces)),
        _ => (2, Values::Text(pieces)),
    }
}

fn elements(edges: Edges, values: &ArrayRef, item: &Field) -> Result<(u8, Values), Unsupported> {
    Ok((4, Values::Array(edges, Box::new(column(values, item)?))))
}
