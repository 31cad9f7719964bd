//! What is known of a table: a tree of nodes, one for each column at any depth.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, Metadata, Schema, TimeUnit};

use super::decimal::PRECISION;
use super::join::MAX_FIELDS;

/// Key of the field metadata that holds the label of a kind.
pub(crate) const BSON: &str = "levada.bson";

/// Key of a decimal field's metadata: the most digits before the point that were seen.
pub(crate) const DIGITS: &str = "levada.digits";

/// Documents and arrays deeper than this have no columns of their own.
pub(crate) const MAX_LEVELS: usize = 32;

/// The kind of a column's values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Int32,
    Int64,
    Double,
    /// Most digits before the point and places after it.
    Decimal(i64, u8),
    String,
    Date,
    /// With the subtype.
    Binary(u8),
    Document(Members),
    Array(Box<Node>),
    ObjectId,
    Uuid,
    JavaScript,
    Symbol,
    Timestamp,
    Variant,
}

/// The columns of a document, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Members {
    pub(crate) nodes: Vec<Node>,
    places: HashMap<Box<[u8]>, usize>,
}

impl Members {
    pub(crate) fn new(nodes: Vec<Node>) -> Self {
        let place = |(at, node): (usize, &Node)| (node.name.as_bytes().into(), at);
        let places = nodes.iter().enumerate().map(place).collect();
        Self { nodes, places }
    }

    /// The column of this name, a new one if there is none; None if the name is not UTF-8.
    pub(crate) fn named(&mut self, name: &[u8]) -> Option<&mut Node> {
        let at = match self.places.get(name) {
            Some(at) => *at,
            None => {
                self.nodes.push(Node::new(std::str::from_utf8(name).ok()?, Kind::Null));
                self.places.insert(name.into(), self.nodes.len() - 1);
                self.nodes.len() - 1
            }
        };
        self.nodes.get_mut(at)
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// What the field's metadata holds besides the label and the digits.
    pub(crate) extra: Metadata,
    /// The field as it was given, while it differs from what a value would make of it.
    pub(crate) given: Option<FieldRef>,
}

/// The Arrow type or the label of this column is not one that this decoder writes.
pub(crate) struct Unsupported(pub(crate) String);

impl Node {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.into(), kind, extra: Metadata::default(), given: None }
    }

    /// The nodes of a schema that was given.
    pub(crate) fn of_fields(fields: &Fields, depth: usize) -> Result<Members, Unsupported> {
        let mut names = std::collections::HashSet::new();
        for field in fields {
            if field.name().contains('\0') || !names.insert(field.name()) {
                return Err(Unsupported(format!("a field is named {:?}", field.name())));
            }
        }
        let nodes: Result<_, _> = fields.iter().map(|field| Self::of_field(field, depth)).collect();
        Ok(Members::new(nodes?))
    }

    fn of_field(field: &FieldRef, depth: usize) -> Result<Self, Unsupported> {
        let kind = kind_of(field, depth)?;
        let mut extra = field.metadata().clone();
        extra.remove(BSON);
        extra.remove(DIGITS);
        let mut node = Self { name: field.name().clone(), kind, extra, given: None };
        if node.moves() || node.field().as_ref() != field.as_ref() {
            node.given = Some(field.clone());
        }
        Ok(node)
    }

    /// Whether any value changes the Arrow field that the kind has by itself.
    fn moves(&self) -> bool {
        match &self.kind {
            Kind::Document(members) => {
                members.nodes.len() > MAX_FIELDS
                    || members.nodes.iter().any(|node| !node.field().is_nullable())
            }
            Kind::Array(item) => item.name != "item" || !item.field().is_nullable(),
            Kind::Decimal(digits, scale) => digits + i64::from(*scale) > PRECISION,
            _ => false,
        }
    }

    /// The same, nullable and by this name: what a member becomes when its document has a value.
    pub(crate) fn settled(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        if let Some(given) = self.given.take() {
            let given = given.as_ref().clone().with_nullable(true).with_name(name);
            if self.moves() || self.field().as_ref() != &given {
                self.given = Some(given.into());
            }
        }
        self
    }

    /// The Arrow field.
    pub(crate) fn field(&self) -> FieldRef {
        if let Some(given) = &self.given {
            return given.clone();
        }
        let mut metadata = self.extra.clone();
        if let Some(label) = self.kind.label() {
            metadata.insert(BSON, label);
        }
        if let Kind::Decimal(digits, _) = self.kind {
            metadata.insert(DIGITS, digits.to_string());
        }
        Arc::new(Field::new(&self.name, self.kind.arrow(), true).with_metadata(metadata))
    }
}

impl Kind {
    fn label(&self) -> Option<String> {
        let label = match self {
            Self::Decimal(..) => "decimal",
            Self::Date => "date",
            Self::ObjectId => "objectId",
            Self::Uuid => "uuid",
            Self::JavaScript => "javascript",
            Self::Symbol => "symbol",
            Self::Timestamp => "timestamp",
            Self::Variant => "variant",
            Self::Binary(subtype) if *subtype > 0 => return Some(format!("binary:{subtype:02x}")),
            _ => return None,
        };
        Some(label.into())
    }

    fn arrow(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Bool => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 | Self::Timestamp => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Decimal(_, scale) => DataType::Decimal128(PRECISION as u8, *scale as i8),
            Self::Date => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Binary(_) => DataType::Binary,
            Self::Document(members) => DataType::Struct(members.nodes.iter().map(Node::field).collect()),
            Self::Array(item) => DataType::List(item.field()),
            Self::String | Self::ObjectId | Self::Uuid | Self::JavaScript | Self::Symbol | Self::Variant => {
                DataType::Utf8
            }
        }
    }
}

/// The kind of a given field: by its label where the Arrow type agrees with it, else by the Arrow type.
fn kind_of(field: &Field, depth: usize) -> Result<Kind, Unsupported> {
    let label = field.metadata().get(BSON).map_or("", String::as_str);
    let kind = match (field.data_type(), label) {
        (DataType::Null, "") => Kind::Null,
        (DataType::Boolean, "") => Kind::Bool,
        (DataType::Int32, "") => Kind::Int32,
        (DataType::Int64, "") => Kind::Int64,
        (DataType::Int64, "timestamp") => Kind::Timestamp,
        (DataType::Float64, "") => Kind::Double,
        (DataType::Utf8, "") => Kind::String,
        (DataType::Utf8, "objectId") => Kind::ObjectId,
        (DataType::Utf8, "uuid") => Kind::Uuid,
        (DataType::Utf8, "javascript") => Kind::JavaScript,
        (DataType::Utf8, "symbol") => Kind::Symbol,
        (DataType::Utf8, "variant") => Kind::Variant,
        (DataType::Binary, _) => return binary_of(label, field),
        (DataType::Timestamp(TimeUnit::Millisecond, _), "" | "date") => Kind::Date,
        (DataType::Decimal128(precision, scale), "" | "decimal") if *scale >= 0 => {
            Kind::Decimal(digits_of(field, *precision, *scale)?, *scale as u8)
        }
        (DataType::Struct(_) | DataType::List(_), _) if depth >= MAX_LEVELS => {
            return Err(unsupported(field));
        }
        (DataType::Struct(members), "") => Kind::Document(Node::of_fields(members, depth + 1)?),
        (DataType::List(item), "") => Kind::Array(Box::new(Node::of_field(item, depth + 1)?)),
        _ => return Err(unsupported(field)),
    };
    Ok(kind)
}

fn unsupported(field: &Field) -> Unsupported {
    Unsupported(format!("field {:?} of type {}", field.name(), field.data_type()))
}

fn binary_of(label: &str, field: &Field) -> Result<Kind, Unsupported> {
    if label.is_empty() {
        return Ok(Kind::Binary(0));
    }
    let digits = label.strip_prefix("binary:").filter(|digits| digits.len() == 2);
    let subtype = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    match subtype {
        Some(subtype) if format!("binary:{subtype:02x}") == label && !matches!(subtype, 0 | 2 | 4) => {
            Ok(Kind::Binary(subtype))
        }
        _ => Err(unsupported(field)),
    }
}

fn digits_of(field: &Field, precision: u8, scale: i8) -> Result<i64, Unsupported> {
    let Some(stored) = field.metadata().get(DIGITS) else {
        return Ok((i64::from(precision) - i64::from(scale)).max(0));
    };
    match stored.parse::<u16>() {
        Ok(digits) if digits.to_string() == *stored => Ok(i64::from(digits)),
        _ => Err(unsupported(field)),
    }
}

/// Every column nullable, as the columns of a decoder are.
pub(crate) fn nullable(schema: &Schema) -> Fields {
    schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect()
}
