//! Decimal128 -> integers of a decimal column, and text.
//!
//! Binary integer form of IEEE 754-2008: bit 127 is the sign, bits 113-126 the exponent plus 6176, bits
//! 0-112 the coefficient. Bits 125-126 both set mean infinity, NaN, or a coefficient that is too large,
//! which counts as 0.
//! <https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md>

const BIAS: i32 = 6176;
const LARGEST: u128 = 10u128.pow(34) - 1;

/// Digits of the widest decimal column.
pub(crate) const PRECISION: i64 = 38;

/// Zeros of a lower exponent than this ask for no decimal places.
const LEAST_ZERO: i32 = -34;

const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A Decimal128 taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal128 {
    negative: bool,
    exponent: i32,
    coefficient: u128,
    special: bool,
}

impl Decimal128 {
    pub(crate) fn read(raw: [u8; 16]) -> Self {
        let bits = u128::from_le_bytes(raw);
        Self {
            negative: bits >> 127 == 1,
            exponent: (bits >> 113 & 0x3FFF) as i32 - BIAS,
            coefficient: bits & ((1 << 113) - 1),
            special: bits >> 125 & 3 == 3,
        }
    }

    /// Digits before the point and places after it that a column needs for this value; None where no
    /// decimal column holds it (NaN, infinity, -0, a coefficient of more than 34 digits).
    pub(crate) fn facts(self) -> Option<(i64, i64)> {
        let zero = self.coefficient == 0;
        if self.special || self.coefficient > LARGEST || (zero && self.negative) {
            return None;
        }
        if zero {
            let places = if self.exponent < LEAST_ZERO { 0 } else { -self.exponent };
            return Some((0, i64::from(places.max(0))));
        }
        let digits = self.coefficient.ilog10() as i32 + 1 + self.exponent;
        Some((i64::from(digits.max(0)), i64::from((-self.exponent).max(0))))
    }

    /// The value times `10^scale`, if that is a whole number of less than `limit`.
    #[inline]
    pub(crate) fn scaled(self, scale: u8, limit: u128) -> Option<i128> {
        let shift = self.exponent + i32::from(scale);
        if self.special || self.coefficient > LARGEST {
            return None;
        }
        if self.coefficient == 0 {
            let held = !self.negative && (shift >= 0 || self.exponent < LEAST_ZERO);
            return held.then_some(0);
        }
        let product = self.coefficient.checked_mul(power(shift)?)?;
        let number = (product < limit).then_some(product as i128)?;
        Some(if self.negative { -number } else { number })
    }
}

/// `10^exponent` for 0 to 38.
#[inline]
pub(crate) fn power(exponent: i32) -> Option<u128> {
    POWERS.get(usize::try_from(exponent).ok()?).copied()
}

/// The number that a `$numberDecimal` or a whole number of Extended JSON says.
pub(crate) enum Text {
    Whole(i64),
    Decimal(String),
}

/// The normal form: an int64 is a whole number, others lose their trailing zeros.
pub(crate) fn text(raw: [u8; 16]) -> Text {
    let bits = u128::from_le_bytes(raw);
    let mut value = Decimal128::read(raw);
    let sign = if value.negative { "-" } else { "" };
    if value.special {
        if bits >> 123 & 15 == 15 {
            let nan = bits >> 122 & 1 == 1;
            return Text::Decimal(if nan { "NaN".into() } else { format!("{sign}Infinity") });
        }
        value.exponent = (bits >> 111 & 0x3FFF) as i32 - BIAS;
    }
    if value.special || value.coefficient > LARGEST {
        value.coefficient = 0;
    }
    if value.coefficient == 0 {
        return match value.negative {
            true => Text::Decimal(scientific(sign, "0", value.exponent)),
            false => Text::Whole(0),
        };
    }
    while value.coefficient.is_multiple_of(10) {
        value.coefficient /= 10;
        value.exponent += 1;
    }
    match value.whole() {
        Some(whole) => Text::Whole(whole),
        None => Text::Decimal(scientific(sign, &value.coefficient.to_string(), value.exponent)),
    }
}

impl Decimal128 {
    fn whole(self) -> Option<i64> {
        let factor = if self.exponent < 19 { power(self.exponent)? } else { return None };
        let number = i128::try_from(self.coefficient.checked_mul(factor)?).ok()?;
        i64::try_from(if self.negative { -number } else { number }).ok()
    }
}

/// To-scientific-string of the General Decimal Arithmetic Specification.
fn scientific(sign: &str, digits: &str, exponent: i32) -> String {
    let count = digits.len() as i32;
    let left = exponent + count;
    if exponent > 0 || left <= -6 {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}E{:+}", left - 1);
    }
    if left <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(-left as usize));
    }
    let (whole, places) = digits.split_at(left as usize);
    let point = if places.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{places}")
}
