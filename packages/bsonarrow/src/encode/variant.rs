//! Variant text (canonical Extended JSON) -> the BSON value it stands for.
//!
//! Spellings that canonical Extended JSON does not use are left to others: what is refused here may still
//! be a value.

use std::borrow::Cow;

use super::decimal;
use super::json::{Json, parse};
use super::write::{hexadecimal, key, uuid};

type Object<'a> = [(Cow<'a, str>, Json<'a>)];

/// Append the value that a text stands for; returns its BSON type, None where it has none.
pub(super) fn write(out: &mut Vec<u8>, text: &[u8]) -> Option<u8> {
    let value = parse(std::str::from_utf8(text).ok()?)?;
    append(out, &value)
}

fn append(out: &mut Vec<u8>, value: &Json<'_>) -> Option<u8> {
    match value {
        Json::Null => Some(10),
        Json::Bool(value) => {
            out.push(u8::from(*value));
            Some(8)
        }
        Json::Whole(text) => whole(out, text),
        Json::Fraction(text) => {
            out.extend_from_slice(&text.parse::<f64>().ok()?.to_le_bytes());
            Some(1)
        }
        Json::Text(text) => string(out, text, 2),
        Json::Array(items) => {
            body(out, |out| {
                for (place, item) in items.iter().enumerate() {
                    let at = out.len();
                    out.push(0);
                    key(out, place);
                    out[at] = append(out, item)?;
                }
                Some(())
            })?;
            Some(4)
        }
        Json::Object(members) => object(out, members),
    }
}

/// A document around what `write` appends.
fn body(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    out.push(0);
    let length = i32::try_from(out.len() - start).ok()?;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Some(())
}

fn document(out: &mut Vec<u8>, members: &Object<'_>) -> Option<()> {
    body(out, |out| {
        for (name, value) in members {
            let at = out.len();
            out.push(0);
            c_string(out, name)?;
            out[at] = append(out, value)?;
        }
        Some(())
    })
}

fn c_string(out: &mut Vec<u8>, text: &str) -> Option<()> {
    if text.contains('\0') {
        return None;
    }
    out.extend_from_slice(text.as_bytes());
    out.push(0);
    Some(())
}

fn string(out: &mut Vec<u8>, text: &str, tag: u8) -> Option<u8> {
    let length = i32::try_from(text.len() + 1).ok()?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out.push(0);
    Some(tag)
}

fn whole(out: &mut Vec<u8>, text: &str) -> Option<u8> {
    let value: i64 = text.parse().ok()?;
    if let Ok(small) = i32::try_from(value) {
        out.extend_from_slice(&small.to_le_bytes());
        return Some(16);
    }
    out.extend_from_slice(&value.to_le_bytes());
    Some(18)
}

/// A document, or the value that an object with exactly these names stands for.
fn object(out: &mut Vec<u8>, members: &Object<'_>) -> Option<u8> {
    match members {
        [(name, value)] if name.starts_with('$') => match &**name {
            "$undefined" => Some(6),
            "$minKey" => Some(255),
            "$maxKey" => Some(127),
            "$oid" | "$numberInt" | "$numberLong" | "$numberDouble" | "$numberDecimal" | "$symbol"
            | "$code" | "$uuid" => simple(out, name, text(value)?),
            "$binary" | "$timestamp" | "$regularExpression" | "$dbPointer" | "$date" | "$literal" => {
                compound(out, name, fields(value)?)
            }
            _ => document(out, members).map(|()| 3),
        },
        [(first, one), (second, two)] => match (&**first, &**second) {
            ("$code", "$scope") => scoped(out, text(one)?, fields(two)?),
            ("$scope", "$code") => scoped(out, text(two)?, fields(one)?),
            _ => document(out, members).map(|()| 3),
        },
        _ => document(out, members).map(|()| 3),
    }
}

fn text<'a>(value: &'a Json<'_>) -> Option<&'a str> {
    match value {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

fn fields<'a, 'b>(value: &'a Json<'b>) -> Option<&'a Object<'b>> {
    match value {
        Json::Object(members) => Some(members),
        _ => None,
    }
}

/// The two values of an object with exactly these two names.
fn pair<'a, 'b>(members: &'a Object<'b>, names: (&str, &str)) -> Option<(&'a Json<'b>, &'a Json<'b>)> {
    match members {
        [(one, first), (two, second)] if *one == names.0 && *two == names.1 => Some((first, second)),
        [(one, first), (two, second)] if *one == names.1 && *two == names.0 => Some((second, first)),
        _ => None,
    }
}

fn simple(out: &mut Vec<u8>, name: &str, text: &str) -> Option<u8> {
    match name {
        "$oid" => {
            out.extend_from_slice(&hexadecimal::<12>(text.as_bytes())?);
            Some(7)
        }
        "$numberInt" => {
            out.extend_from_slice(&digits(text)?.parse::<i32>().ok()?.to_le_bytes());
            Some(16)
        }
        "$numberLong" => {
            out.extend_from_slice(&digits(text)?.parse::<i64>().ok()?.to_le_bytes());
            Some(18)
        }
        "$numberDouble" => {
            out.extend_from_slice(&double(text)?.to_le_bytes());
            Some(1)
        }
        "$numberDecimal" => {
            out.extend_from_slice(&decimal::parse(text)?);
            Some(19)
        }
        "$symbol" => string(out, text, 14),
        "$code" => string(out, text, 13),
        "$uuid" => {
            out.extend_from_slice(&[16, 0, 0, 0, 4]);
            out.extend_from_slice(&uuid(text.as_bytes())?);
            Some(5)
        }
        _ => None,
    }
}

/// The same text where it is an optional minus and digits.
fn digits(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('-').unwrap_or(text);
    (!rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::from_bits(0x7FF8_0000_0000_0000)),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
            text.bytes().all(plain).then(|| text.parse().ok())?
        }
    }
}

fn compound(out: &mut Vec<u8>, name: &str, members: &Object<'_>) -> Option<u8> {
    match name {
        "$binary" => {
            let (data, subtype) = pair(members, ("base64", "subType"))?;
            binary(out, text(data)?, text(subtype)?)
        }
        "$timestamp" => {
            let (seconds, increment) = pair(members, ("t", "i"))?;
            out.extend_from_slice(&unsigned(increment)?.to_le_bytes());
            out.extend_from_slice(&unsigned(seconds)?.to_le_bytes());
            Some(17)
        }
        "$regularExpression" => {
            let (pattern, options) = pair(members, ("pattern", "options"))?;
            c_string(out, text(pattern)?)?;
            c_string(out, text(options)?)?;
            Some(11)
        }
        "$dbPointer" => {
            let (target, id) = pair(members, ("$ref", "$id"))?;
            string(out, text(target)?, 2)?;
            let [(name, id)] = fields(id)? else { return None };
            out.extend_from_slice(&hexadecimal::<12>((name == "$oid").then(|| text(id))??.as_bytes())?);
            Some(12)
        }
        "$date" => {
            let [(name, moment)] = members else { return None };
            let moment = (name == "$numberLong").then(|| text(moment))??;
            out.extend_from_slice(&digits(moment)?.parse::<i64>().ok()?.to_le_bytes());
            Some(9)
        }
        "$literal" => document(out, members).map(|()| 3),
        _ => None,
    }
}

fn unsigned(value: &Json<'_>) -> Option<u32> {
    match value {
        Json::Whole(text) => text.parse().ok(),
        _ => None,
    }
}

fn scoped(out: &mut Vec<u8>, code: &str, scope: &Object<'_>) -> Option<u8> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    string(out, code, 2)?;
    let members = match scope {
        [(name, inner)] if name == "$literal" => fields(inner)?,
        _ => scope,
    };
    document(out, members)?;
    let length = i32::try_from(out.len() - start).ok()?;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Some(15)
}

fn binary(out: &mut Vec<u8>, base64: &str, subtype: &str) -> Option<u8> {
    let known = matches!(subtype.len(), 1 | 2) && subtype.bytes().all(|byte| byte.is_ascii_hexdigit());
    let subtype = known.then(|| u8::from_str_radix(subtype, 16).ok())??;
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, subtype]);
    let inner = out.len();
    if subtype == 2 {
        out.extend_from_slice(&[0; 4]);
    }
    let first = out.len();
    decode_base64(out, base64.as_bytes())?;
    if subtype == 2 {
        let length = i32::try_from(out.len() - first).ok()?;
        out[inner..first].copy_from_slice(&length.to_le_bytes());
    }
    let length = i32::try_from(out.len() - inner).ok()?;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Some(5)
}

/// Append what a base64 text with padding stands for.
fn decode_base64(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let data = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    for chunk in data.chunks(4) {
        let mut bits: u32 = 0;
        for byte in chunk {
            bits = bits << 6 | six_bits(*byte)?;
        }
        let bytes = (bits << (6 * (4 - chunk.len()) as u32) << 8).to_be_bytes();
        let whole = chunk.len() - 1;
        if bytes[whole.min(3)..3].iter().any(|rest| *rest != 0) {
            return None; // bits that belong to no byte
        }
        out.extend_from_slice(&bytes[..whole]);
    }
    Some(())
}

fn six_bits(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
