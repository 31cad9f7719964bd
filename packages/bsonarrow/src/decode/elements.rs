//! The elements of one BSON document, with every length checked.
//!
//! Sizes by <https://bsonspec.org/spec.html>. A *body* is a document without its length prefix and its
//! terminator, so that whatever fits into the body fits into the document.

use super::reason::Malformed;

pub(crate) const DOUBLE: u8 = 1;
pub(crate) const STRING: u8 = 2;
pub(crate) const DOCUMENT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const BINARY: u8 = 5;
pub(crate) const UNDEFINED: u8 = 6;
pub(crate) const OBJECT_ID: u8 = 7;
pub(crate) const BOOL: u8 = 8;
pub(crate) const DATE: u8 = 9;
pub(crate) const NULL: u8 = 10;
pub(crate) const REGEX: u8 = 11;
pub(crate) const POINTER: u8 = 12;
pub(crate) const JAVASCRIPT: u8 = 13;
pub(crate) const SYMBOL: u8 = 14;
pub(crate) const SCOPED: u8 = 15;
pub(crate) const INT32: u8 = 16;
pub(crate) const TIMESTAMP: u8 = 17;
pub(crate) const INT64: u8 = 18;
pub(crate) const DECIMAL: u8 = 19;
pub(crate) const MAX_KEY: u8 = 127;
pub(crate) const MIN_KEY: u8 = 255;

/// One element: its type, its name and the bytes of its value.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// Walks the elements of a body; ends after the first malformed one.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, behind) = self.rest.split_first()?;
        let found = element(tag, behind);
        self.rest = found.as_ref().map_or(&[], |(_, rest)| rest);
        Some(found.map(|(one, _)| one))
    }
}

fn element(tag: u8, behind: &[u8]) -> Result<(Element<'_>, &[u8]), Malformed> {
    let stop = find_nul(behind).ok_or(Malformed::NameEnd)?;
    let (name, values) = (&behind[..stop], &behind[stop + 1..]);
    let (value, rest) = values.split_at(value_size(tag, values)?);
    Ok((Element { tag, name, value }, rest))
}

/// Place of the first NUL.
#[inline]
pub(crate) fn find_nul(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == 0)
}

/// A little-endian int32 at the beginning of `bytes`.
#[inline]
pub(crate) fn int32(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|raw| i32::from_le_bytes(*raw))
}

/// A little-endian int64 at the beginning of `bytes`.
#[inline]
pub(crate) fn int64(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk().map(|raw| i64::from_le_bytes(*raw))
}

/// The body of a whole document; its length prefix and terminator are checked.
pub(crate) fn body(document: &[u8]) -> Result<&[u8], Malformed> {
    match int32(document) {
        Some(length) if document.len() >= 5 && length as usize == document.len() => {}
        _ => return Err(Malformed::DocumentLength),
    }
    match document.split_last() {
        Some((0, rest)) => Ok(&rest[4..]),
        _ => Err(Malformed::DocumentEnd),
    }
}

/// The body of a whole document of a batch.
pub(crate) fn body_of(buffer: &[u8], start: i64, end: i64) -> Result<&[u8], Malformed> {
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return Err(Malformed::Frame);
    };
    let whole = buffer.get(from..to).ok_or(Malformed::Frame)?;
    body(whole).map_err(|_| Malformed::Frame)
}

/// Bytes of the value of type `tag` at the beginning of `rest`; never more than `rest` has.
#[inline]
pub(crate) fn value_size(tag: u8, rest: &[u8]) -> Result<usize, Malformed> {
    let size = match tag {
        DOUBLE | DATE | TIMESTAMP | INT64 => 8,
        INT32 => 4,
        NULL | UNDEFINED | MIN_KEY | MAX_KEY => 0,
        OBJECT_ID => 12,
        BOOL => 1,
        DECIMAL => 16,
        STRING | JAVASCRIPT | SYMBOL => return prefixed(rest, 1, 4, Some(1)),
        DOCUMENT | ARRAY => return prefixed(rest, 5, 0, Some(1)),
        BINARY => return prefixed(rest, 0, 5, None),
        POINTER => return prefixed(rest, 1, 16, Some(13)),
        SCOPED => return prefixed(rest, 14, 0, Some(1)),
        REGEX => return regex_size(rest),
        _ => return Err(Malformed::UnknownType(tag)),
    };
    if size > rest.len() {
        return Err(Malformed::ValueTooLong);
    }
    if tag == BOOL && rest[0] > 1 {
        return Err(Malformed::Boolean);
    }
    Ok(size)
}

/// Size of a value that begins with an int32 of at least `least`, to which `extra` bytes are added; the
/// byte `nul` before its end has to be NUL.
#[inline]
fn prefixed(rest: &[u8], least: i32, extra: usize, nul: Option<usize>) -> Result<usize, Malformed> {
    let length = int32(rest).ok_or(Malformed::ValueTooLong)?;
    let size = length.max(0) as usize + extra;
    if length < least || size > rest.len() {
        return Err(Malformed::ValueLength);
    }
    match nul {
        Some(back) if rest[size - back] != 0 => Err(Malformed::ValueEnd),
        _ => Ok(size),
    }
}

fn regex_size(rest: &[u8]) -> Result<usize, Malformed> {
    let pattern = find_nul(rest).ok_or(Malformed::RegexEnd)? + 1;
    let options = find_nul(&rest[pattern..]).ok_or(Malformed::RegexEnd)? + 1;
    Ok(pattern + options)
}
