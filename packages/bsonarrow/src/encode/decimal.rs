//! Decimal128 in its binary integer form: sign, exponent + 6176 in 14 bits, coefficient in 113 bits.
//!
//! <https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md>

const BIAS: i32 = 6176;
const MOST: i32 = 6111;
const LARGEST: u128 = 10_u128.pow(34) - 1;

const NAN: u128 = 0b11111 << 122;
const INFINITY: u128 = 0b11110 << 122;
const SIGN: u128 = 1 << 127;

/// A whole number times 10^-scale; None where it needs more than 34 digits.
#[inline]
pub(super) fn pack(number: i128, scale: i32) -> Option<[u8; 16]> {
    let sign = if number < 0 { SIGN } else { 0 };
    let coefficient = number.unsigned_abs();
    if coefficient <= u128::from(u64::MAX) {
        return Some((sign | exponent_bits(-scale) | coefficient).to_le_bytes());
    }
    fitted(sign, coefficient, -scale)
}

fn exponent_bits(exponent: i32) -> u128 {
    ((exponent + BIAS) as u128) << 113
}

/// The value with trailing zeros moved into the exponent, or back, as far as the form needs it.
fn fitted(sign: u128, mut coefficient: u128, mut exponent: i32) -> Option<[u8; 16]> {
    if coefficient == 0 {
        exponent = exponent.clamp(-BIAS, MOST);
    }
    while coefficient > LARGEST || exponent < -BIAS {
        if !coefficient.is_multiple_of(10) {
            return None;
        }
        coefficient /= 10;
        exponent += 1;
    }
    while exponent > MOST {
        coefficient = coefficient.checked_mul(10)?;
        exponent -= 1;
        if coefficient > LARGEST {
            return None;
        }
    }
    Some((sign | exponent_bits(exponent) | coefficient).to_le_bytes())
}

/// The value of a decimal's text (`-1.50E+3`, `NaN`, `-Infinity`); None for every other spelling.
pub(super) fn parse(text: &str) -> Option<[u8; 16]> {
    match text {
        "NaN" => return Some(NAN.to_le_bytes()),
        "Infinity" => return Some(INFINITY.to_le_bytes()),
        "-Infinity" => return Some((SIGN | INFINITY).to_le_bytes()),
        _ => {}
    }
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (SIGN, rest),
        None => (0, text),
    };
    let (mantissa, power) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    if power.unsigned_abs() > 100_000 {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut coefficient: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        coefficient = coefficient.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
    }
    fitted(sign, coefficient, power.checked_sub(i32::try_from(fraction.len()).ok()?)?)
}
