//! BSON <-> Arrow for Python. What is public stands in `python/bsonarrow`.

mod capsule;
mod decode;
mod digest;
mod encode;
mod fields;
mod profile;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    decode::register(module)?;
    digest::register(module)?;
    fields::register(module)?;
    encode::register(module)?;
    profile::register(module)
}
