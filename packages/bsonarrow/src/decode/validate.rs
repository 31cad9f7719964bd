//! Whether a document is sound, whatever the schema: lengths, terminators, types, UTF-8, names, depth.

use std::collections::HashSet;

use super::elements::{
    ARRAY, BINARY, DOCUMENT, Element, Elements, JAVASCRIPT, POINTER, REGEX, SCOPED, STRING, SYMBOL, body,
    find_nul, int32, value_size,
};
use super::reason::{MAX_DEPTH, Malformed};

/// With this many names or fewer, comparing each with each is faster than hashing.
pub(crate) const FEW: usize = 16;

/// Checks a whole document.
pub(crate) fn document(raw: &[u8]) -> Result<(), Malformed> {
    whole(body(raw).map_err(|_| Malformed::Frame)?)
}

/// Checks the body of a whole document.
pub(crate) fn whole(body: &[u8]) -> Result<(), Malformed> {
    members(body, 1)
}

/// Checks the members of a document, of which `depth` is the level.
fn members(body: &[u8], depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::Depth);
    }
    let mut names = Names::default();
    for one in Elements::new(body) {
        let one = one?;
        std::str::from_utf8(one.name).map_err(|_| Malformed::NameUtf8)?;
        if !names.add(one.name) {
            return Err(Malformed::NameTwice);
        }
        value(one, depth)?;
    }
    Ok(())
}

fn value(one: Element<'_>, depth: usize) -> Result<(), Malformed> {
    let value = one.value;
    match one.tag {
        STRING | JAVASCRIPT | SYMBOL => utf8(&value[4..value.len() - 1]),
        DOCUMENT => members(body(value)?, depth + 1),
        ARRAY => elements(value, depth + 1),
        BINARY => old_binary(value).map(|_| ()),
        REGEX => regex(value).map(|_| ()),
        POINTER => utf8(&value[4..value.len() - 13]),
        SCOPED => {
            let (code, scope) = scoped(value)?;
            let inner = body(scope)?;
            utf8(code)?;
            members(inner, depth + 1)
        }
        _ => Ok(()),
    }
}

fn elements(array: &[u8], depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::Depth);
    }
    Elements::new(body(array)?).try_for_each(|one| value(one?, depth))
}

fn utf8(text: &[u8]) -> Result<(), Malformed> {
    text_of(text).map(|_| ())
}

/// Bytes as text.
pub(crate) fn text_of(text: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(text).map_err(|_| Malformed::StringUtf8)
}

/// Subtype and data of a binary value; old ones (subtype 2) have a second length inside.
pub(crate) fn old_binary(value: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let (subtype, data) = (value[4], &value[5..]);
    if subtype != 2 {
        return Ok((subtype, data));
    }
    match int32(data) {
        Some(length) if length >= 0 && length as usize == data.len() - 4 => Ok((2, &data[4..])),
        _ => Err(Malformed::OldBinary),
    }
}

/// Pattern and options of a regular expression.
pub(crate) fn regex(value: &[u8]) -> Result<(&str, &str), Malformed> {
    let middle = find_nul(value).ok_or(Malformed::RegexEnd)?;
    let options = &value[middle + 1..value.len() - 1];
    Ok((text_of(&value[..middle])?, text_of(options)?))
}

/// Code (without its NUL) and scope (a whole document) of a code with scope.
pub(crate) fn scoped(value: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let code = value_size(STRING, &value[4..])?;
    let (code, scope) = value[4..].split_at(code);
    Ok((&code[4..code.len() - 1], scope))
}

/// Names that were seen in one document.
#[derive(Default)]
pub(crate) struct Names<'a> {
    few: Vec<&'a [u8]>,
    many: HashSet<&'a [u8]>,
}

impl<'a> Names<'a> {
    /// Whether the name is new.
    pub(crate) fn add(&mut self, name: &'a [u8]) -> bool {
        if self.few.len() < FEW {
            let new = !self.few.contains(&name);
            self.few.push(name);
            return new;
        }
        if self.many.is_empty() {
            self.many.extend(&self.few);
        }
        self.many.insert(name)
    }
}
