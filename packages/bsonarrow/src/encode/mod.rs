//! Arrow -> BSON: rows of typed columns as documents, written one after the other into one buffer.
//!
//! `columns` prepares the columns, `write` writes rows, `variant` restores Extended JSON,
//! `decimal` packs Decimal128.

mod columns;
mod decimal;
mod json;
mod variant;
mod write;

use arrow_array::{Array, StructArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field};
use pyo3::exceptions::{PyNotImplementedError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::capsule::{export_array, import_array};
use crate::decode::guarded;
use columns::{Members, Unsupported, least_size, members};
use write::{Stop, Writer};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Encoded>()?;
    module.add_function(wrap_pyfunction!(encode, module)?)
}

/// A binary array without nulls, one document a row; any Arrow library takes it by `__arrow_c_array__`.
#[pyclass(frozen, module = "bsonarrow")]
struct Encoded {
    data: ArrayData,
}

#[pymethods]
impl Encoded {
    fn __len__(&self) -> usize {
        self.data.len()
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema; // a binary array has no other form worth asking for
        export_array(py, &self.data)
    }
}

/// One BSON document per row of a record batch (anything with `__arrow_c_array__`).
///
/// Returns the documents in the order of the rows, without the rejected ones, and those as (row, reason).
/// Raises NotImplementedError for types that have no BSON form here, OverflowError where the documents are
/// larger than 2 GiB together, ValueError where the Arrow data is malformed.
#[pyfunction]
#[pyo3(signature = (batch, omit_nulls=false))]
fn encode(
    py: Python<'_>,
    batch: &Bound<'_, PyAny>,
    omit_nulls: bool,
) -> PyResult<(Encoded, Vec<(usize, &'static str)>)> {
    let (data, field) = import_array(batch)?;
    py.detach(|| guarded(|| encode_rows(data, &field, omit_nulls)))?
        .map_err(PyErr::from)
        .map(|(data, rejected)| (Encoded { data }, rejected))
}

/// Why a batch could not be encoded at all.
enum Failed {
    NoBatch,
    Malformed(String),
    Unsupported(Unsupported),
    TooLarge,
}

impl From<Failed> for PyErr {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NoBatch => PyTypeError::new_err("a record batch is needed, not an array"),
            Failed::Malformed(why) => PyValueError::new_err(why),
            Failed::Unsupported(Unsupported(what)) => PyNotImplementedError::new_err(what),
            Failed::TooLarge => PyOverflowError::new_err("a batch encodes to more than 2 GiB of documents"),
        }
    }
}

type Documents = (ArrayData, Vec<(usize, &'static str)>);

fn encode_rows(mut data: ArrayData, field: &Field, omit_nulls: bool) -> Result<Documents, Failed> {
    if !matches!(data.data_type(), DataType::Struct(_)) {
        return Err(Failed::NoBatch);
    }
    data.align_buffers();
    data.validate().map_err(|error| Failed::Malformed(error.to_string()))?;
    let DataType::Struct(fields) = field.data_type() else {
        return Err(Failed::NoBatch);
    };
    let rows = StructArray::from(data);
    if rows.nulls().is_some_and(|nulls| nulls.null_count() > 0) {
        return Err(Failed::Unsupported(Unsupported("a batch with rows that are null".into())));
    }
    if rows.is_empty() {
        return collect(vec![0], Vec::new(), Vec::new());
    }
    let columns = members(rows.columns(), fields).map_err(Failed::Unsupported)?;
    if i32::try_from(least_size(&columns)).is_err() {
        return Err(Failed::TooLarge); // before gigabytes are written
    }
    write_rows(&columns, rows.len(), omit_nulls)
}

/// Rows after which the size of all is estimated.
const PROBE: usize = 64;

fn write_rows(columns: &Members, rows: usize, omit_nulls: bool) -> Result<Documents, Failed> {
    let mut writer = Writer::new(omit_nulls);
    let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
    let mut rejected = Vec::new();
    offsets.push(0);
    for row in 0..rows {
        let start = writer.out.len();
        match writer.document(columns, row) {
            Ok(()) => match i32::try_from(writer.out.len()) {
                Ok(end) => offsets.push(end),
                Err(_) => return Err(Failed::TooLarge),
            },
            Err(Stop::Reject(reason)) => {
                writer.out.truncate(start);
                rejected.push((row, reason));
            }
            Err(Stop::Malformed) => {
                return Err(Failed::Malformed("an offset points outside of its column".into()));
            }
            Err(Stop::Unsupported(what)) => {
                return Err(Failed::Unsupported(Unsupported(what.into())));
            }
        }
        if row == PROBE {
            let each = writer.out.len() / (PROBE + 1);
            writer.out.reserve((each + each / 8) * (rows - PROBE));
        }
    }
    collect(offsets, writer.out, rejected)
}

fn collect(
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    rejected: Vec<(usize, &'static str)>,
) -> Result<Documents, Failed> {
    let rows = offsets.len() - 1;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let data = ArrayData::builder(DataType::Binary)
        .len(rows)
        .nulls(None::<NullBuffer>)
        .add_buffer(offsets.into_inner().into_inner())
        .add_buffer(Buffer::from_vec(bytes))
        .build()
        .map_err(|error| Failed::Malformed(error.to_string()))?;
    Ok((data, rejected))
}
