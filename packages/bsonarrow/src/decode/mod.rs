//! BSON -> Arrow.

mod buffers;
mod column;
pub(crate) mod decimal;
mod decoder;
pub(crate) mod elements;
pub(crate) mod extjson;
mod finish;
mod group;
pub(crate) mod hex;
mod join;
mod learn;
mod python;
pub(crate) mod reason;
mod reply;
mod schema;
pub(crate) mod validate;

pub(crate) use python::{Bytes, guarded, register};
