//! What Python sees: `Decoder`, `RecordBatch`, `split_reply`, `validate`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::ffi::FFI_ArrowArray;
use arrow_data::ArrayData;
use arrow_schema::SchemaRef;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyNotImplementedError, PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyMemoryView};

use super::decoder::{self, Decoded, Failure};
use super::{reply, validate};
use crate::capsule;

type Capsules<'py> = (Bound<'py, PyCapsule>, Bound<'py, PyCapsule>);

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Decoder>()?;
    module.add_class::<RecordBatch>()?;
    module.add_class::<Schema>()?;
    module.add_function(wrap_pyfunction!(split_reply, module)?)?;
    module.add_function(wrap_pyfunction!(check, module)?)
}

/// Bytes of a Python object, kept alive and, where others could write to them, copied.
pub(crate) enum Bytes {
    Borrowed(PyUntypedBuffer),
    Copied(Vec<u8>),
}

impl Bytes {
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("a contiguous buffer is needed"));
        }
        // a read-only view says nothing of its owner: others can still write to a bytearray below it
        let owner = match object.cast::<PyMemoryView>() {
            Ok(view) => &view.getattr("obj")?,
            Err(_) => object,
        };
        let fixed = owner.is_exact_instance_of::<PyBytes>();
        let borrowed = Self::Borrowed(buffer);
        Ok(if fixed { borrowed } else { Self::Copied(borrowed.as_slice().to_vec()) })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Borrowed(buffer) if buffer.len_bytes() == 0 => &[],
            // SAFETY: the buffer is contiguous, and held as long as `self` lives.
            Self::Borrowed(buffer) => unsafe {
                std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes())
            },
        }
    }

    pub(crate) fn numbers(&self) -> PyResult<Vec<i64>> {
        let (numbers, rest) = self.as_slice().as_chunks();
        if !rest.is_empty() {
            return Err(PyValueError::new_err("a buffer of int64 has a multiple of 8 bytes"));
        }
        Ok(numbers.iter().map(|raw| i64::from_ne_bytes(*raw)).collect())
    }
}

/// Rows of decoded documents; any Arrow library takes them.
#[pyclass(module = "bsonarrow", frozen)]
struct RecordBatch {
    schema: SchemaRef,
    rows: ArrayData,
}

#[pymethods]
impl RecordBatch {
    #[getter]
    fn num_rows(&self) -> usize {
        self.rows.len()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        capsule::export_schema(py, &self.schema)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Capsules<'py>> {
        let _ = requested_schema;
        capsule::export_rows(py, &self.schema, FFI_ArrowArray::new(&self.rows))
    }
}

/// A schema that any Arrow library takes.
#[pyclass(module = "bsonarrow", frozen)]
struct Schema(SchemaRef);

#[pymethods]
impl Schema {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        capsule::export_schema(py, &self.0)
    }
}

/// Decodes the documents of one read; its schema only widens.
#[pyclass(module = "bsonarrow")]
struct Decoder(decoder::Decoder);

type Rejected = Vec<(usize, String)>;

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (schema=None))]
    fn new(schema: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let schema = schema.map_or_else(|| Ok(arrow_schema::Schema::empty()), capsule::import_schema)?;
        match decoder::Decoder::new(&schema) {
            Ok(decoder) => Ok(Self(decoder)),
            Err(reason) => Err(PyNotImplementedError::new_err(reason.0)),
        }
    }

    #[getter]
    fn schema(&self) -> Schema {
        Schema(self.0.schema().clone())
    }

    fn decode(
        &mut self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        starts: &Bound<'_, PyAny>,
        ends: &Bound<'_, PyAny>,
    ) -> PyResult<(RecordBatch, Rejected)> {
        let (starts, ends) = (Bytes::of(starts)?.numbers()?, Bytes::of(ends)?.numbers()?);
        if starts.len() != ends.len() {
            return Err(PyValueError::new_err("there are not as many starts as ends"));
        }
        let bytes = Bytes::of(buffer)?;
        let documents: Vec<_> = starts.into_iter().zip(ends).collect();
        let decoded = self.run(py, bytes.as_slice(), &documents)?;
        let rejected = decoded.rejected.iter().map(|(at, reason)| (*at, reason.to_string())).collect();
        Ok((RecordBatch::from(decoded), rejected))
    }

    /// Rows, rejected documents (bytes and reason), cursor id, resume token.
    fn decode_reply<'py>(&mut self, py: Python<'py>, raw: &Bound<'py, PyAny>) -> PyResult<DecodedReply<'py>> {
        let bytes = Bytes::of(raw)?;
        let bytes = bytes.as_slice();
        let reply = reply::split(bytes).map_err(PyValueError::new_err)?;
        let decoded = self.run(py, bytes, &reply.documents)?;
        let rejected = decoded.rejected.iter().map(|&(at, reason)| {
            let (start, end) = reply.documents[at];
            (PyBytes::new(py, &bytes[start as usize..end as usize]), reason.to_string())
        });
        let rejected = rejected.collect();
        let token = reply.resume_token.map(|token| PyBytes::new(py, token));
        Ok((RecordBatch::from(decoded), rejected, reply.cursor_id, token))
    }
}

type DecodedReply<'py> = (RecordBatch, Vec<(Bound<'py, PyBytes>, String)>, i64, Option<Bound<'py, PyBytes>>);

impl Decoder {
    fn run(&mut self, py: Python<'_>, buffer: &[u8], documents: &[(i64, i64)]) -> PyResult<Decoded> {
        let decoder = &mut self.0;
        let decoded = py.detach(|| guarded(|| decoder.decode(buffer, documents)));
        decoded.inspect_err(|_| self.0.reset())?.map_err(|failure| match failure {
            Failure::TooLarge => PyOverflowError::new_err("a batch holds more than 2 GiB of documents"),
            Failure::Defect => PyRuntimeError::new_err("bsonarrow: the two passes disagree, a defect"),
        })
    }
}

/// Runs what should never panic, and says so if it does.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|_| PyRuntimeError::new_err("bsonarrow: a panic, which is a defect"))
}

impl From<Decoded> for RecordBatch {
    fn from(decoded: Decoded) -> Self {
        Self { schema: decoded.schema, rows: decoded.rows }
    }
}

type Split<'py> = (i64, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

/// Where the documents of a raw command reply are.
#[pyfunction]
fn split_reply<'py>(py: Python<'py>, raw: &Bound<'py, PyAny>) -> PyResult<Split<'py>> {
    let bytes = Bytes::of(raw)?;
    let reply = guarded(|| reply::split(bytes.as_slice()))?.map_err(PyValueError::new_err)?;
    let numbers = |part: fn(&(i64, i64)) -> i64| {
        let bytes: Vec<u8> = reply.documents.iter().flat_map(|pair| part(pair).to_ne_bytes()).collect();
        PyBytes::new(py, &bytes)
    };
    let token = reply.resume_token.map(|token| PyBytes::new(py, token));
    Ok((reply.cursor_id, numbers(|pair| pair.0), numbers(|pair| pair.1), token))
}

/// Raises ValueError, with the reason, where `data` is not one sound document.
#[pyfunction]
#[pyo3(name = "validate")]
fn check(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    let bytes = Bytes::of(data)?;
    let raw = bytes.as_slice();
    let found = py.detach(|| guarded(|| validate::document(raw)))?;
    found.map_err(|reason| PyValueError::new_err(reason.to_string()))
}
