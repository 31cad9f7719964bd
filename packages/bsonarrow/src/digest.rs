//! Digests of whole documents, to tell equal ones without keeping them.
//!
//! BLAKE2b with 16 bytes of output (RFC 7693): equal digests mean equal bytes.

use blake2b_simd::Params;
use blake2b_simd::many::{HashManyJob, hash_many};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::decode::elements::{body, find_nul, value_size};
use crate::decode::{Bytes, guarded};

const SIZE: usize = 16;
/// Documents that are digested side by side, in the lanes of one vector.
const AT_ONCE: usize = 64;

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
    let mut params = Params::new();
    params.hash_length(SIZE);
    let (mut found, mut stripped) = (Vec::with_capacity(SIZE * starts.len()), Vec::new());
    for (starts, ends) in starts.chunks(AT_ONCE).zip(ends.chunks(AT_ONCE)) {
        let documents = starts
            .iter()
            .zip(ends)
            .map(|(&start, &end)| bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?));
        let documents = documents.collect::<Option<Vec<_>>>()?;
        let inputs = if without_id { all_without_id(&documents, &mut stripped)? } else { documents };
        let mut jobs: Vec<_> = inputs.iter().map(|input| HashManyJob::new(&params, input)).collect();
        hash_many(jobs.iter_mut());
        for job in &jobs {
            found.extend_from_slice(job.to_hash().as_bytes());
        }
    }
    Some(found)
}

/// The documents without their first `_id`, written one after the other into `stripped`.
fn all_without_id<'a>(documents: &[&[u8]], stripped: &'a mut Vec<u8>) -> Option<Vec<&'a [u8]>> {
    stripped.clear();
    let mut ends = Vec::with_capacity(documents.len());
    for document in documents {
        match id_of(document) {
            None => stripped.extend_from_slice(document),
            Some((from, to)) => {
                let rest = i32::try_from(document.len() - (to - from)).ok()?;
                stripped.extend_from_slice(&rest.to_le_bytes());
                stripped.extend_from_slice(&document[4..from]);
                stripped.extend_from_slice(&document[to..]);
            }
        }
        ends.push(stripped.len());
    }
    let mut from = 0;
    Some(ends.into_iter().map(|to| &stripped[std::mem::replace(&mut from, to)..to]).collect())
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
