//! What columns push their values into.

use super::column::Column;
use super::decimal::{Decimal128, power};
use super::elements::find_nul;
use super::reason::{Pushed, Stop};

/// Values of variable size: where each ends, and their bytes.
pub(crate) struct Bytes {
    pub(crate) offsets: Vec<i32>,
    pub(crate) data: Vec<u8>,
}

pub(crate) struct Decimals {
    pub(crate) values: Vec<i128>,
    scale: u8,
    /// 10^(digits + scale): what every value has to be less than.
    limit: u128,
    digits: i64,
}

pub(crate) struct List {
    pub(crate) offsets: Vec<i32>,
    pub(crate) item: Column,
}

impl Bytes {
    pub(crate) fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    #[inline]
    pub(crate) fn end(&mut self) -> Pushed<()> {
        self.offsets.push(i32::try_from(self.data.len()).map_err(|_| Stop::TooLarge)?);
        Ok(())
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Pushed<()> {
        self.data.extend_from_slice(bytes);
        self.end()
    }
}

impl Decimals {
    pub(crate) fn new(digits: i64, scale: u8) -> Self {
        let limit = power((digits + i64::from(scale)) as i32).unwrap_or(0);
        Self { values: Vec::new(), scale, limit, digits }
    }

    /// Pushes a whole number of a type with this many digits.
    pub(crate) fn push_whole(&mut self, value: i64, digits: i64) -> Pushed<()> {
        let factor = power(self.scale.into()).filter(|_| self.digits >= digits);
        self.values.push(i128::from(value) * factor.ok_or(Stop::Mismatch)? as i128);
        Ok(())
    }

    #[inline]
    pub(crate) fn push(&mut self, raw: [u8; 16]) -> Pushed<()> {
        let value = Decimal128::read(raw).scaled(self.scale, self.limit);
        self.values.push(value.ok_or(Stop::Mismatch)?);
        Ok(())
    }
}

/// The first `N` bytes of a value.
#[inline]
pub(crate) fn fixed<const N: usize>(rest: &[u8]) -> Pushed<[u8; N]> {
    rest.first_chunk().copied().ok_or(Stop::Mismatch)
}

/// Adds empty values up to `rows`.
pub(crate) fn repeat_last(offsets: &mut Vec<i32>, rows: usize) {
    let last = offsets.last().copied().unwrap_or(0);
    offsets.resize(rows + 1, last);
}

impl List {
    pub(crate) fn read(&mut self, mut rest: &[u8]) -> Pushed<()> {
        while let Some((&tag, behind)) = rest.split_first() {
            let value = behind_key(behind)?;
            let size = self.item.push(tag, value, self.item.len)?;
            rest = value.get(size..).ok_or(Stop::Mismatch)?;
        }
        self.offsets.push(i32::try_from(self.item.len).map_err(|_| Stop::TooLarge)?);
        Ok(())
    }
}

/// What stands behind the key of an element, whatever the key is.
#[inline]
fn behind_key(bytes: &[u8]) -> Pushed<&[u8]> {
    match bytes {
        [1..=255, 0, rest @ ..] | [1..=255, 1..=255, 0, rest @ ..] => Ok(rest),
        _ => {
            let stop = find_nul(bytes).ok_or(Stop::Mismatch)?;
            Ok(&bytes[stop + 1..])
        }
    }
}
