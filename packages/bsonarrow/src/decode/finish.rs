//! A column under construction -> an Arrow array.

use arrow_array::{Array, new_null_array};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::DataType;

use super::buffers::Bytes;
use super::column::{Column, Values};
use super::group::Group;
use super::reason::{Pushed, Stop};

/// The columns of `rows` documents by these types; the group is empty afterwards.
pub(crate) fn columns<'a>(
    group: &mut Group,
    types: impl Iterator<Item = &'a DataType>,
    rows: usize,
) -> Pushed<Vec<ArrayData>> {
    group.columns.iter_mut().zip(types).map(|(column, arrow)| finish(column, arrow, rows)).collect()
}

fn finish(column: &mut Column, arrow: &DataType, rows: usize) -> Pushed<ArrayData> {
    column.fill(rows);
    column.len = 0;
    let nulls = nulls(&std::mem::take(&mut column.gaps), rows);
    if nulls.as_ref().is_some_and(|nulls| nulls.null_count() == rows) {
        column.clear();
        return Ok(new_null_array(arrow, rows).to_data());
    }
    let mut children = Vec::new();
    let mut buffers = Vec::new();
    match &mut column.values {
        Values::Null => {}
        Values::Bool(values) => {
            let bits = arrow_buffer::BooleanBuffer::collect_bool(rows, |at| values[at] != 0);
            values.clear();
            buffers.push(bits.into_inner());
        }
        Values::Int32(values) => buffers.push(taken(values)),
        Values::Int64(values) | Values::Date(values) | Values::Timestamp(values) => {
            buffers.push(taken(values));
        }
        Values::Double(values) => buffers.push(taken(values)),
        Values::Decimal(decimals) => buffers.push(taken(&mut decimals.values)),
        Values::Text(_, bytes) => {
            utf8(bytes)?;
            buffers.extend(bytes.taken());
        }
        Values::ObjectId(bytes)
        | Values::Uuid(bytes)
        | Values::Binary(_, bytes)
        | Values::Variant(_, bytes) => buffers.extend(bytes.taken()),
        Values::Document(group) => {
            if let DataType::Struct(fields) = arrow {
                children = columns(group, fields.iter().map(|field| field.data_type()), rows)?;
            }
        }
        Values::Array(list) => {
            let count = list.item.len;
            buffers.push(taken(&mut list.offsets));
            list.offsets.push(0);
            if let DataType::List(item) = arrow {
                children.push(finish(&mut list.item, item.data_type(), count)?);
            }
        }
    }
    let nulls = nulls.filter(|_| *arrow != DataType::Null);
    let builder = ArrayData::builder(arrow.clone()).len(rows).buffers(buffers).child_data(children);
    // SAFETY: every column pushes one value or one gap for each row, its type is that of its values, offsets
    // only rise, and text is checked above or made of ASCII and checked text.
    Ok(unsafe { builder.nulls(nulls).build_unchecked() })
}

/// The values; room for as many is kept for the next batch.
fn taken<T: arrow_buffer::ArrowNativeType>(values: &mut Vec<T>) -> Buffer {
    let room = Vec::with_capacity(values.len());
    ScalarBuffer::from(std::mem::replace(values, room)).into_inner()
}

impl Bytes {
    fn taken(&mut self) -> [Buffer; 2] {
        let buffers = [taken(&mut self.offsets), taken(&mut self.data)];
        self.offsets.push(0);
        buffers
    }
}

fn nulls(gaps: &[(usize, usize)], rows: usize) -> Option<NullBuffer> {
    if gaps.is_empty() {
        return None;
    }
    let mut bits = arrow_buffer::BooleanBufferBuilder::new(rows);
    for (start, length) in gaps {
        bits.append_n(start - bits.len(), true);
        bits.append_n(*length, false);
    }
    bits.append_n(rows - bits.len(), true);
    Some(NullBuffer::new(bits.finish()))
}

/// Checks a whole column at once: its bytes, and that no value begins inside a character.
fn utf8(bytes: &Bytes) -> Pushed<()> {
    if bytes.data.is_ascii() {
        return Ok(());
    }
    let text = std::str::from_utf8(&bytes.data).map_err(|_| Stop::Mismatch)?;
    let whole = bytes.offsets.iter().all(|at| text.is_char_boundary(*at as usize));
    whole.then_some(()).ok_or(Stop::Mismatch)
}
