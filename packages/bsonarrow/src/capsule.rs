//! The Arrow PyCapsule interface, by hand: schemas and arrays cross without a copy.
//!
//! <https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>

use std::ffi::CStr;
use std::ptr::NonNull;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, Schema};
use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

use crate::decode::reason::MAX_DEPTH;

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// An error of Arrow as Python's `ValueError`.
pub(crate) fn arrow_error(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The pointer in the capsule that `object.<method>()` returns, once its name is checked.
fn pointer(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<NonNull<std::ffi::c_void>> {
    capsule.cast::<PyCapsule>()?.pointer_checked(Some(name))
}

/// Refuses a schema that is nested so deep that Arrow's own import, which recurses, could run out of stack.
fn shallow(schema: &FFI_ArrowSchema) -> PyResult<&FFI_ArrowSchema> {
    let mut open = vec![(schema, 0)];
    while let Some((node, level)) = open.pop() {
        if level > MAX_DEPTH {
            let reason = format!("a schema that is nested deeper than {MAX_DEPTH} levels");
            return Err(PyNotImplementedError::new_err(reason));
        }
        open.extend(node.children().chain(node.dictionary()).map(|below| (below, level + 1)));
    }
    Ok(schema)
}

/// The schema of any object with `__arrow_c_schema__`.
pub(crate) fn import_schema(object: &Bound<'_, PyAny>) -> PyResult<Schema> {
    let capsule = object.call_method0("__arrow_c_schema__")?;
    let raw = pointer(&capsule, SCHEMA)?.cast::<FFI_ArrowSchema>();
    // SAFETY: the name says what the pointer is, and the capsule outlives the borrow.
    Schema::try_from(shallow(unsafe { raw.as_ref() })?).map_err(arrow_error)
}

/// The array of any object with `__arrow_c_array__`, and the field it has by its schema.
pub(crate) fn import_array(object: &Bound<'_, PyAny>) -> PyResult<(ArrayData, arrow_schema::Field)> {
    let pair = object.call_method0("__arrow_c_array__")?;
    let pair = pair.cast::<PyTuple>()?;
    let (schema, array) = (pair.get_item(0)?, pair.get_item(1)?);
    let schema = pointer(&schema, SCHEMA)?.cast::<FFI_ArrowSchema>();
    let array = pointer(&array, ARRAY)?.cast::<FFI_ArrowArray>();
    // SAFETY: the names say what the pointers are; `from_raw` moves the array out and leaves it released.
    unsafe {
        let field = arrow_schema::Field::try_from(shallow(schema.as_ref())?).map_err(arrow_error)?;
        let data = from_ffi(FFI_ArrowArray::from_raw(array.as_ptr()), schema.as_ref());
        Ok((data.map_err(arrow_error)?, field))
    }
}

/// A schema as the capsule of `__arrow_c_schema__`.
pub(crate) fn export_schema<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyCapsule>> {
    let raw = FFI_ArrowSchema::try_from(schema).map_err(arrow_error)?;
    PyCapsule::new_with_value(py, raw, SCHEMA)
}

/// Rows (a struct array) and their schema as the two capsules of `__arrow_c_array__`.
pub(crate) fn export_rows<'py>(
    py: Python<'py>,
    schema: &Schema,
    rows: FFI_ArrowArray,
) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
    let rows = PyCapsule::new_with_value(py, rows, ARRAY)?;
    Ok((export_schema(py, schema)?, rows))
}

/// Any array as the two capsules of `__arrow_c_array__`.
pub(crate) fn export_array<'py>(
    py: Python<'py>,
    data: &ArrayData,
) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
    let (array, schema) = to_ffi(data).map_err(arrow_error)?;
    let schema = PyCapsule::new_with_value(py, schema, SCHEMA)?;
    Ok((schema, PyCapsule::new_with_value(py, array, ARRAY)?))
}
