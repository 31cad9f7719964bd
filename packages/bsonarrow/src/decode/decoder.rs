//! Batches of documents -> record batches of one schema that only widens.
//!
//! A batch whose documents fit the schema is read in one pass. Where one does not fit, or is malformed, the
//! whole batch is looked at: malformed documents are set aside, the sound ones widen the schema, and are
//! read again by it.

use std::sync::Arc;

use arrow_data::ArrayData;
use arrow_schema::{DataType, Schema, SchemaRef};

use super::elements::body_of;
use super::finish;
use super::group::Group;
use super::learn;
use super::reason::{Malformed, Stop};
use super::schema::{Members, Node, Unsupported, nullable};
use super::validate;

/// Level of the members of a whole document.
const TOP: usize = 1;

pub(crate) struct Decoder {
    members: Members,
    schema: SchemaRef,
    group: Group,
}

/// What became of a batch.
pub(crate) struct Decoded {
    pub(crate) schema: SchemaRef,
    pub(crate) rows: ArrayData,
    /// Places in the batch of the documents that were rejected, in order.
    pub(crate) rejected: Vec<(usize, Malformed)>,
}

/// Why a whole batch can't be decoded.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The documents together, or a column's text, are larger than 2 GiB.
    TooLarge,
    /// The two passes disagree.
    Defect,
}

impl Decoder {
    pub(crate) fn new(schema: &Schema) -> Result<Self, Unsupported> {
        let fields = nullable(schema);
        let members = Node::of_fields(&fields, TOP)?;
        let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
        let group = Group::new(&members.nodes, TOP);
        Ok(Self { members, schema: schema.into(), group })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes the documents `buffer[start:end]`.
    pub(crate) fn decode(&mut self, buffer: &[u8], documents: &[(i64, i64)]) -> Result<Decoded, Failure> {
        if large(documents) {
            return Err(Failure::TooLarge);
        }
        match self.read(buffer, documents) {
            Ok(rows) => Ok(self.decoded(rows, Vec::new())),
            Err(Stop::TooLarge) => Err(self.failed(Failure::TooLarge)),
            Err(Stop::Mismatch) => self.decode_again(buffer, documents),
        }
    }

    fn decode_again(&mut self, buffer: &[u8], documents: &[(i64, i64)]) -> Result<Decoded, Failure> {
        let mut sound = Vec::with_capacity(documents.len());
        let mut rejected = Vec::new();
        for (at, &(start, end)) in documents.iter().enumerate() {
            match body_of(buffer, start, end).and_then(validate::whole) {
                Ok(()) => sound.push((start, end)),
                Err(reason) => rejected.push((at, reason)),
            }
        }
        let mut members = self.members.clone();
        for &(start, end) in &sound {
            let body = body_of(buffer, start, end).unwrap_or_default();
            learn::document(&mut members, body, TOP);
        }
        let before = std::mem::replace(&mut self.members, members);
        self.group = Group::new(&self.members.nodes, TOP);
        match self.read(buffer, &sound) {
            Ok(rows) => {
                if self.members != before {
                    self.schema = self.widened();
                }
                Ok(self.decoded(rows, rejected))
            }
            Err(stop) => {
                self.members = before;
                Err(self.failed(match stop {
                    Stop::TooLarge => Failure::TooLarge,
                    Stop::Mismatch => Failure::Defect,
                }))
            }
        }
    }

    fn widened(&self) -> SchemaRef {
        let fields: Vec<_> = self.members.nodes.iter().map(Node::field).collect();
        Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()))
    }

    /// Forgets what was pushed of a batch that failed.
    pub(crate) fn reset(&mut self) {
        self.group = Group::new(&self.members.nodes, TOP);
    }

    fn failed(&mut self, failure: Failure) -> Failure {
        self.reset();
        failure
    }

    /// Reads documents that fit the columns.
    fn read(&mut self, buffer: &[u8], documents: &[(i64, i64)]) -> Result<ArrayData, Stop> {
        for (row, &(start, end)) in documents.iter().enumerate() {
            self.group.read(body_of(buffer, start, end)?, row)?;
        }
        let rows = documents.len();
        let fields: arrow_schema::Fields = self.members.nodes.iter().map(Node::field).collect();
        let types = fields.iter().map(|field| field.data_type());
        let columns = finish::columns(&mut self.group, types, rows)?;
        let builder = ArrayData::builder(DataType::Struct(fields)).len(rows).child_data(columns);
        // SAFETY: every column has as many rows as there are documents, and the type of its field.
        Ok(unsafe { builder.build_unchecked() })
    }

    fn decoded(&self, rows: ArrayData, rejected: Vec<(usize, Malformed)>) -> Decoded {
        Decoded { schema: self.schema.clone(), rows, rejected }
    }
}

/// Whether the documents together have more bytes than 32 bits count.
fn large(documents: &[(i64, i64)]) -> bool {
    let sizes = documents.iter().map(|(start, end)| end.saturating_sub(*start).max(0));
    sizes.fold(0, i64::saturating_add) > i64::from(i32::MAX)
}
