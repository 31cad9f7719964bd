//! Values at a path, and what differs between two documents; nothing is decoded.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::decode::elements::{ARRAY, DOCUMENT, Element, Elements, body, body_of};
use crate::decode::{Bytes, guarded};

type Found<'py> = Vec<Option<Bound<'py, PyBytes>>>;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(values_at, module)?)?;
    module.add_function(wrap_pyfunction!(differences, module)?)
}

/// Type and value bytes at a path in each of the documents `buffer[starts[i]:ends[i]]`.
///
/// None where there is none before the first malformed element. Starts and ends are int64.
#[pyfunction]
fn values_at<'py>(
    py: Python<'py>,
    buffer: &Bound<'py, PyAny>,
    starts: &Bound<'py, PyAny>,
    ends: &Bound<'py, PyAny>,
    path: Vec<Vec<u8>>,
) -> PyResult<Found<'py>> {
    let (starts, ends) = (Bytes::of(starts)?.numbers()?, Bytes::of(ends)?.numbers()?);
    let bytes = Bytes::of(buffer)?;
    let bytes = bytes.as_slice();
    let value = |(&start, &end): (&i64, &i64)| at(body_of(bytes, start, end).ok()?, &path);
    let found = py.detach(|| guarded(|| starts.iter().zip(ends.iter()).map(value).collect()))?;
    listed(py, found)
}

/// What has to be set in each document to become another one, as elements of `$set`.
///
/// None where that can't be done so: other names or another order of them, a name that comes twice, a name
/// that is a path or an operator, a malformed document. Documents are given without `_id`.
#[pyfunction]
fn differences<'py>(
    py: Python<'py>,
    old: (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>),
    new: (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>),
) -> PyResult<Found<'py>> {
    let (old_starts, old_ends) = (Bytes::of(&old.1)?.numbers()?, Bytes::of(&old.2)?.numbers()?);
    let (new_starts, new_ends) = (Bytes::of(&new.1)?.numbers()?, Bytes::of(&new.2)?.numbers()?);
    if old_starts.len() != new_starts.len() {
        return Err(PyValueError::new_err("there are not as many old documents as new ones"));
    }
    let (old, new) = (Bytes::of(&old.0)?, Bytes::of(&new.0)?);
    let (old, new) = (old.as_slice(), new.as_slice());
    let of = |place: usize| {
        let old = body_of(old, *old_starts.get(place)?, *old_ends.get(place)?).ok()?;
        difference(old, body_of(new, *new_starts.get(place)?, *new_ends.get(place)?).ok()?)
    };
    let found = py.detach(|| guarded(|| (0..new_starts.len()).map(of).collect()))?;
    listed(py, found)
}

fn listed(py: Python<'_>, found: Vec<Option<Vec<u8>>>) -> PyResult<Found<'_>> {
    Ok(found.into_iter().map(|one| one.map(|bytes| PyBytes::new(py, &bytes))).collect())
}

fn at(whole: &[u8], path: &[Vec<u8>]) -> Option<Vec<u8>> {
    let (name, rest) = path.split_first()?;
    for element in Elements::new(whole) {
        let element = element.ok()?;
        if element.name != name.as_slice() {
            continue;
        }
        if rest.is_empty() {
            let mut found = Vec::with_capacity(element.value.len() + 1);
            found.push(element.tag);
            found.extend_from_slice(element.value);
            return Some(found);
        }
        return if element.tag == DOCUMENT { at(body(element.value).ok()?, rest) } else { None };
    }
    None
}

fn difference(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let (mut old, mut new) = (Elements::new(old), Elements::new(new));
    let (mut found, mut names) = (Vec::new(), Vec::new());
    loop {
        match (old.next(), new.next()) {
            (None, None) => break,
            (Some(Ok(before)), Some(Ok(after))) if before.name == after.name => {
                names.push(after.name);
                if before.tag != after.tag || before.value != after.value {
                    if !settable(&after) {
                        return None;
                    }
                    found.push(after.tag);
                    found.extend_from_slice(after.name);
                    found.push(0);
                    found.extend_from_slice(after.value);
                }
            }
            _ => return None,
        }
    }
    names.sort_unstable();
    let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
    (!twice).then_some(found)
}

/// Whether `$set` takes a member as it is; a `$` inside of a document may begin the name of an operator.
fn settable(element: &Element<'_>) -> bool {
    let name = element.name;
    let plain = !name.is_empty() && name[0] != b'$' && !name.contains(&b'.');
    plain && (!matches!(element.tag, DOCUMENT | ARRAY) || !element.value.contains(&b'$'))
}
