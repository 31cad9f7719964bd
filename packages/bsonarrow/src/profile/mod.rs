//! What documents hold: every path with its types, how often, a few examples; memory is bounded.

mod node;

use std::collections::HashMap;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::decode::elements::body;
use crate::decode::{Bytes, guarded, validate};
use node::{Node, Room};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Profile>()
}

/// Collects what documents hold; `result` says it as nested tuples.
#[pyclass(module = "bsonarrow")]
#[derive(Default)]
struct Profile {
    root: Node,
    room: Room,
    rejected: HashMap<String, u64>,
}

#[pymethods]
impl Profile {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Look at the documents `buffer[starts[i]:ends[i]]`; starts and ends are int64.
    fn add(
        &mut self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        starts: &Bound<'_, PyAny>,
        ends: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (starts, ends) = (Bytes::of(starts)?.numbers()?, Bytes::of(ends)?.numbers()?);
        if starts.len() != ends.len() {
            return Err(PyValueError::new_err("there are not as many starts as ends"));
        }
        let bytes = Bytes::of(buffer)?;
        let bytes = bytes.as_slice();
        py.detach(|| {
            guarded(|| {
                for (start, end) in starts.into_iter().zip(ends) {
                    self.document(slice(bytes, start, end));
                }
            })
        })
    }

    /// (documents, {reason: rejected documents}, node); a node is (types, lengths, members, items, others),
    /// types [(code, count, examples)], lengths (least, most, sum), members [(name, node)].
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rejected = self.rejected.clone().into_pyobject(py)?;
        (self.root.documents(), rejected, tree(py, &self.root)?).into_pyobject(py)
    }
}

impl Profile {
    fn document(&mut self, raw: &[u8]) {
        match validate::document(raw).and_then(|()| body(raw)) {
            Ok(body) => self.root.add_whole(body, raw, &mut self.room),
            Err(reason) => *self.rejected.entry(reason.to_string()).or_default() += 1,
        }
    }
}

/// The bytes from `start` to `end`; nothing where they are not all there.
fn slice(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(0);
    bytes.get(range).unwrap_or_default()
}

fn tree<'py>(py: Python<'py>, node: &Node) -> PyResult<Bound<'py, PyTuple>> {
    let types = PyList::empty(py);
    for seen in &node.types {
        let examples = PyList::new(py, seen.examples.iter().map(|one| PyBytes::new(py, one)))?;
        types.append((seen.code, seen.count, examples))?;
    }
    let members = PyList::empty(py);
    for (name, member) in node.members() {
        members.append((PyString::new(py, &String::from_utf8_lossy(name)), tree(py, member)?))?;
    }
    let lengths = node.lengths.as_ref().map(|seen| (seen.least, seen.most, seen.sum));
    let items = node.items.as_ref().map(|items| tree(py, items)).transpose()?;
    let others = node.others.as_ref().map(|others| tree(py, others)).transpose()?;
    (types, lengths, members, items, others).into_pyobject(py)
}
