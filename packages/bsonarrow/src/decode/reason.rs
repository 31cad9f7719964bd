//! Why bytes are not the BSON of a sound document.

use std::fmt;

/// Documents and arrays may be nested this deep, the whole document being the first level.
pub(crate) const MAX_DEPTH: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Frame,
    DocumentLength,
    DocumentEnd,
    NameEnd,
    NameUtf8,
    NameTwice,
    UnknownType(u8),
    ValueTooLong,
    ValueLength,
    ValueEnd,
    Boolean,
    RegexEnd,
    StringUtf8,
    OldBinary,
    Depth,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Frame => "the length or terminator of the document is wrong",
            Self::DocumentLength => "the length of a document is wrong",
            Self::DocumentEnd => "a document has no terminator",
            Self::NameEnd => "a field name has no end",
            Self::NameUtf8 => "a field name is not UTF-8",
            Self::NameTwice => "a field name appears twice in one document",
            Self::UnknownType(tag) => return write!(out, "unknown BSON type {tag}"),
            Self::ValueTooLong => "a value is longer than its document",
            Self::ValueLength => "the length of a value is wrong",
            Self::ValueEnd => "a string or document has no terminator",
            Self::Boolean => "a boolean is neither 0 nor 1",
            Self::RegexEnd => "a regular expression has no end",
            Self::StringUtf8 => "a string is not UTF-8",
            Self::OldBinary => "old binary data has a wrong inner length",
            Self::Depth => {
                return write!(out, "documents are nested deeper than {MAX_DEPTH} levels");
            }
        })
    }
}

/// Why the documents of a batch can't be pushed any further.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A document is malformed, or the columns don't hold it.
    Mismatch,
    /// A column needs more than 2 GiB of text.
    TooLarge,
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Mismatch
    }
}

pub(crate) type Pushed<T> = Result<T, Stop>;
