//! Digests of whole documents, to tell equal ones without keeping them.
//!
//! BLAKE2b with 16 bytes of output (RFC 7693): equal digests mean equal bytes.

use blake2b_simd::Params;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::decode::elements::{body, find_nul, value_size};
use crate::decode::{Bytes, guarded};

const SIZE: usize = 16;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(digests, module)?)
}

/// 16 bytes for each of the documents `buffer[starts[i]:ends[i]]`; starts and ends are int64.
///
/// With `without_id` the digest is that of the document without its first `_id`.
#[pyfunction]
fn digests<'py>(
    py: Python<'py>,
    buffer: &Bound<'py, PyAny>,
    starts: &Bound<'py, PyAny>,
    ends: &Bound<'py, PyAny>,
    without_id: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let (starts, ends) = (Bytes::of(starts)?.numbers()?, Bytes::of(ends)?.numbers()?);
    if starts.len() != ends.len() {
        return Err(PyValueError::new_err("there are not as many starts as ends"));
    }
    let bytes = Bytes::of(buffer)?;
    let bytes = bytes.as_slice();
    let found = py.detach(|| guarded(|| all(bytes, &starts, &ends, without_id)))?;
    let found = found.ok_or_else(|| PyValueError::new_err("a document lies outside of the buffer"))?;
    Ok(PyBytes::new(py, &found))
}

fn all(bytes: &[u8], starts: &[i64], ends: &[i64], without_id: bool) -> Option<Vec<u8>> {
    let mut found = Vec::with_capacity(SIZE * starts.len());
    let mut params = Params::new();
    params.hash_length(SIZE);
    for (&start, &end) in starts.iter().zip(ends) {
        let document = bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
        let digest = match without_id.then(|| id_of(document)).flatten() {
            None => params.hash(document),
            Some((from, to)) => {
                let rest = i32::try_from(document.len() - (to - from)).ok()?;
                let mut state = params.to_state();
                state.update(&rest.to_le_bytes()).update(&document[4..from]).update(&document[to..]);
                state.finalize()
            }
        };
        found.extend_from_slice(digest.as_bytes());
    }
    Some(found)
}

/// Where the element `_id` begins and ends; None where there is none before the first malformed element.
fn id_of(document: &[u8]) -> Option<(usize, usize)> {
    let mut rest = body(document).ok()?;
    let last = document.len() - 1;
    while let Some((&tag, behind)) = rest.split_first() {
        let from = last - rest.len();
        let stop = find_nul(behind)?;
        let values = &behind[stop + 1..];
        let size = value_size(tag, values).ok()?;
        rest = &values[size..];
        if &behind[..stop] == b"_id" {
            return Some((from, last - rest.len()));
        }
    }
    None
}
