//! Variants: the canonical Extended JSON text of one value, every length checked.
//!
//! Format: <https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>,
//! without spaces, in the normal form that makes the text of a value independent of the type it had before:
//! whole numbers are int32 where they fit, decimals have no trailing zeros, members are sorted by name and
//! null ones are left out. A document with a member that Extended JSON gives a meaning is wrapped as
//! `{"$literal": {...}}`.

use super::decimal::{self, Text};
use super::elements::{
    ARRAY, BINARY, BOOL, DATE, DECIMAL, DOCUMENT, DOUBLE, Element, Elements, INT32, INT64, JAVASCRIPT,
    MAX_KEY, MIN_KEY, NULL, OBJECT_ID, POINTER, REGEX, SCOPED, STRING, SYMBOL, TIMESTAMP, UNDEFINED, body,
    int32, int64,
};
use super::hex;
use super::reason::{MAX_DEPTH, Malformed};
use super::validate::{old_binary, regex, scoped, text_of};

/// Names that turn a document into something else when its Extended JSON is read.
const RESERVED: [&[u8]; 17] = [
    b"$oid",
    b"$symbol",
    b"$numberInt",
    b"$numberLong",
    b"$numberDouble",
    b"$numberDecimal",
    b"$binary",
    b"$uuid",
    b"$code",
    b"$timestamp",
    b"$regularExpression",
    b"$dbPointer",
    b"$date",
    b"$minKey",
    b"$maxKey",
    b"$undefined",
    b"$literal",
];

/// Appends the text of a value that stands inside a document of level `depth`.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, value: &[u8], depth: usize) -> Result<(), Malformed> {
    match tag {
        DOCUMENT => document(out, value, depth + 1)?,
        ARRAY => array(out, value, depth + 1)?,
        STRING => quote(out, text_of(&value[4..value.len() - 1])?),
        JAVASCRIPT => labelled_text(out, "$code", &value[4..value.len() - 1])?,
        SYMBOL => labelled_text(out, "$symbol", &value[4..value.len() - 1])?,
        BINARY => {
            let (subtype, data) = old_binary(value)?;
            binary(out, data, subtype);
        }
        REGEX => {
            let (pattern, options) = regex(value)?;
            push(out, r#"{"$regularExpression":{"pattern":"#);
            quote(out, pattern);
            push(out, r#","options":"#);
            quote(out, options);
            push(out, "}}");
        }
        POINTER => pointer(out, value)?,
        SCOPED => {
            let (code, scope) = scoped(value)?;
            push(out, r#"{"$code":"#);
            quote(out, text_of(code)?);
            push(out, r#","$scope":"#);
            document(out, scope, depth + 1)?;
            push(out, "}");
        }
        _ => return scalar(out, tag, value),
    }
    Ok(())
}

fn scalar(out: &mut Vec<u8>, tag: u8, value: &[u8]) -> Result<(), Malformed> {
    let number = || int64(value).ok_or(Malformed::ValueTooLong);
    match tag {
        DOUBLE => double(out, f64::from_bits(number()? as u64)),
        INT32 => integer(out, i64::from(int32(value).ok_or(Malformed::ValueTooLong)?)),
        INT64 => integer(out, number()?),
        BOOL => push(out, if value == [0] { "false" } else { "true" }),
        DATE => push(out, &format!(r#"{{"$date":{{"$numberLong":"{}"}}}}"#, number()?)),
        TIMESTAMP => {
            let bits = number()? as u64;
            let (t, i) = (bits >> 32, bits & 0xFFFF_FFFF);
            push(out, &format!(r#"{{"$timestamp":{{"t":{t},"i":{i}}}}}"#));
        }
        OBJECT_ID => object_id(out, value),
        DECIMAL => {
            let raw = value.first_chunk().ok_or(Malformed::ValueTooLong)?;
            match decimal::text(*raw) {
                Text::Whole(whole) => integer(out, whole),
                Text::Decimal(text) => labelled(out, "$numberDecimal", &text),
            }
        }
        NULL => push(out, "null"),
        UNDEFINED => push(out, r#"{"$undefined":true}"#),
        MIN_KEY => push(out, r#"{"$minKey":1}"#),
        MAX_KEY => push(out, r#"{"$maxKey":1}"#),
        _ => return Err(Malformed::UnknownType(tag)),
    }
    Ok(())
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn labelled(out: &mut Vec<u8>, label: &str, plain: &str) {
    push(out, &format!(r#"{{"{label}":"{plain}"}}"#));
}

fn labelled_text(out: &mut Vec<u8>, label: &str, text: &[u8]) -> Result<(), Malformed> {
    push(out, &format!(r#"{{"{label}":"#));
    quote(out, text_of(text)?);
    push(out, "}");
    Ok(())
}

fn integer(out: &mut Vec<u8>, value: i64) {
    let label = if i32::try_from(value).is_ok() { "$numberInt" } else { "$numberLong" };
    labelled(out, label, &value.to_string());
}

fn double(out: &mut Vec<u8>, value: f64) {
    let whole = value as i32;
    if f64::from(whole) == value && (value != 0.0 || value.is_sign_positive()) {
        integer(out, i64::from(whole));
    } else if value.is_nan() {
        labelled(out, "$numberDouble", "NaN");
    } else if value.is_infinite() {
        labelled(out, "$numberDouble", if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        labelled(out, "$numberDouble", &shortest(value));
    }
}

/// The shortest digits that read as this finite double, in the form that Python writes them.
fn shortest(value: f64) -> String {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = value.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

fn object_id(out: &mut Vec<u8>, value: &[u8]) {
    push(out, r#"{"$oid":""#);
    hex::write(out, value);
    push(out, r#""}"#);
}

fn pointer(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Malformed> {
    push(out, r#"{"$dbPointer":{"$ref":"#);
    quote(out, text_of(&value[4..value.len() - 13])?);
    push(out, r#","$id":"#);
    object_id(out, &value[value.len() - 12..]);
    push(out, "}}");
    Ok(())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn binary(out: &mut Vec<u8>, data: &[u8], subtype: u8) {
    push(out, r#"{"$binary":{"base64":""#);
    for group in data.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    push(out, &format!(r#"","subType":"{subtype:02x}"}}}}"#));
}

fn array(out: &mut Vec<u8>, value: &[u8], depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::Depth);
    }
    out.push(b'[');
    for (at, one) in Elements::new(body(value)?).enumerate() {
        let one = one?;
        if at > 0 {
            out.push(b',');
        }
        write(out, one.tag, one.value, depth)?;
    }
    out.push(b']');
    Ok(())
}

fn document(out: &mut Vec<u8>, value: &[u8], depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::Depth);
    }
    let mut members: Vec<Element<'_>> = Elements::new(body(value)?).collect::<Result<_, _>>()?;
    members.sort_unstable_by_key(|one| one.name);
    if members.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(Malformed::NameTwice);
    }
    let literal = members.iter().any(|one| one.tag != NULL && RESERVED.contains(&one.name));
    push(out, if literal { r#"{"$literal":{"# } else { "{" });
    let before = out.len();
    for one in members {
        let name = std::str::from_utf8(one.name).map_err(|_| Malformed::NameUtf8)?;
        if one.tag == NULL {
            continue;
        }
        if out.len() > before {
            out.push(b',');
        }
        quote(out, name);
        out.push(b':');
        write(out, one.tag, one.value, depth)?;
    }
    push(out, if literal { "}}" } else { "}" });
    Ok(())
}

/// A JSON string; what JSON does not need to escape stays as it is.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        push(out, &text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => push(out, "\\\""),
            b'\\' => push(out, "\\\\"),
            b'\n' => push(out, "\\n"),
            b'\r' => push(out, "\\r"),
            b'\t' => push(out, "\\t"),
            0x0C => push(out, "\\f"),
            0x08 => push(out, "\\b"),
            _ => push(out, &format!("\\u{byte:04x}")),
        }
    }
    push(out, &text[plain..]);
    out.push(b'"');
}
