//! Writing rows: members one after the other, lengths patched when they are known.

use super::columns::{Column, Members, Pieces, Values};
use super::decimal;
use super::variant;

/// Why a row, or the whole batch, can't be written.
pub(super) enum Stop {
    Reject(&'static str),
    Malformed,
    Unsupported(&'static str),
}

type Written = Result<(), Stop>;

const NULL: u8 = 10;
const TOO_FINE: &str = "a time finer than 1 ms is no BSON date";
const TOO_LONG: &str = "a decimal needs more than 34 digits";
const NO_OBJECT_ID: &str = "a text is not that of an ObjectId";
const NO_UUID: &str = "a text is not that of a UUID";

pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    omit_nulls: bool,
}

impl Writer {
    pub(super) fn new(omit_nulls: bool) -> Self {
        Self { out: Vec::new(), omit_nulls }
    }

    /// A whole document of these members.
    pub(super) fn document(&mut self, members: &Members, row: usize) -> Written {
        let start = self.open();
        for member in members {
            let at = self.out.len();
            if member.column.is_null(row) {
                if !self.omit_nulls {
                    self.out.extend_from_slice(&member.header);
                    self.out[at] = NULL;
                }
                continue;
            }
            self.out.extend_from_slice(&member.header);
            self.value(&member.column, row, at)?;
        }
        self.close(start)
    }

    fn open(&mut self) -> usize {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        start
    }

    /// End the document that began at `start`.
    fn close(&mut self, start: usize) -> Written {
        self.out.push(0);
        self.patch_length(start, self.out.len() - start)
    }

    fn patch_length(&mut self, at: usize, length: usize) -> Written {
        let length = i32::try_from(length).map_err(|_| Stop::Reject("a value is larger than 2 GiB"))?;
        self.out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// A value that is not null; its type stands at `tag_at` already unless each row has its own.
    #[inline]
    fn value(&mut self, column: &Column, row: usize, tag_at: usize) -> Written {
        match &column.values {
            Values::Text(pieces) => self.text(get(pieces, row)?),
            Values::Int32(values) => self.number(values.get(row).map(|value| value.to_le_bytes())),
            Values::Int64(values) => self.number(values.get(row).map(|value| value.to_le_bytes())),
            Values::Double(values) => self.number(values.get(row).map(|value| value.to_le_bytes())),
            Values::ObjectId(pieces) => {
                let id: [u8; 12] = hexadecimal(get(pieces, row)?).ok_or(Stop::Reject(NO_OBJECT_ID))?;
                self.out.extend_from_slice(&id);
                Ok(())
            }
            Values::Decimal(values, scale) => {
                let value = *values.get(row).ok_or(Stop::Malformed)?;
                let packed = decimal::pack(value, *scale).ok_or(Stop::Reject(TOO_LONG))?;
                self.out.extend_from_slice(&packed);
                Ok(())
            }
            Values::Bool(values) if row < values.len() => {
                self.out.push(u8::from(values.value(row)));
                Ok(())
            }
            Values::Document(members) => self.document(members, row),
            Values::Array(edges, items) => self.array(edges.range(row).ok_or(Stop::Malformed)?, items),
            _ => self.rare(column, row, tag_at),
        }
    }

    #[inline(never)]
    fn rare(&mut self, column: &Column, row: usize, tag_at: usize) -> Written {
        match &column.values {
            Values::Binary(pieces, subtype) => self.binary(get(pieces, row)?, *subtype),
            Values::Uuid(pieces) => {
                let id = uuid(get(pieces, row)?).ok_or(Stop::Reject(NO_UUID))?;
                self.binary(&id, 4)
            }
            Values::Variant(pieces) => {
                let tag = variant::write(&mut self.out, get(pieces, row)?)
                    .ok_or(Stop::Reject("not canonical Extended JSON"))?;
                self.out[tag_at] = tag;
                Ok(())
            }
            Values::Finer(values, factor) => {
                let value = *values.get(row).ok_or(Stop::Malformed)?;
                if value % factor != 0 {
                    return Err(Stop::Reject(TOO_FINE));
                }
                self.number(Some((value / factor).to_le_bytes()))
            }
            Values::Seconds(values) => {
                let seconds = *values.get(row).ok_or(Stop::Malformed)?;
                let moment = seconds.checked_mul(1_000);
                let moment = moment.ok_or(Stop::Unsupported("seconds beyond 64 bits of ms"))?;
                self.number(Some(moment.to_le_bytes()))
            }
            _ => Err(Stop::Malformed),
        }
    }

    #[inline]
    fn number<const N: usize>(&mut self, bytes: Option<[u8; N]>) -> Written {
        self.out.extend_from_slice(&bytes.ok_or(Stop::Malformed)?);
        Ok(())
    }

    #[inline]
    fn text(&mut self, text: &[u8]) -> Written {
        let start = self.open();
        self.out.extend_from_slice(text);
        self.out.push(0);
        self.patch_length(start, text.len() + 1)
    }

    fn binary(&mut self, data: &[u8], subtype: u8) -> Written {
        let start = self.open();
        self.out.push(subtype);
        self.out.extend_from_slice(data);
        self.patch_length(start, data.len())
    }

    fn array(&mut self, range: std::ops::Range<usize>, items: &Column) -> Written {
        if range.end > items.rows {
            return Err(Stop::Malformed);
        }
        let start = self.open();
        for (place, row) in range.enumerate() {
            let at = self.out.len();
            self.out.push(items.tag);
            key(&mut self.out, place);
            if items.is_null(row) {
                self.out[at] = NULL;
            } else {
                self.value(items, row, at)?;
            }
        }
        self.close(start)
    }
}

impl Column {
    #[inline]
    fn is_null(&self, row: usize) -> bool {
        match &self.nulls {
            None => matches!(self.values, Values::Null),
            Some(nulls) => row < nulls.len() && nulls.is_null(row),
        }
    }
}

#[inline]
fn get(pieces: &Pieces, row: usize) -> Result<&[u8], Stop> {
    pieces.get(row).ok_or(Stop::Malformed)
}

/// The name of an array's element: its place in decimal, and NUL.
#[inline]
pub(super) fn key(out: &mut Vec<u8>, place: usize) {
    if place < 10 {
        out.extend_from_slice(&[b'0' + place as u8, 0]);
        return;
    }
    out.extend_from_slice(place.to_string().as_bytes());
    out.push(0);
}

/// Value of a hexadecimal digit; 255 for others.
static NIBBLES: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// The `N` bytes of a text of exactly 2 `N` hexadecimal digits.
#[inline]
pub(super) fn hexadecimal<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    let mut seen = 0;
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    (seen < 16).then_some(out)
}

/// The 16 bytes of a UUID's text, 8-4-4-4-12 digits.
pub(super) fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = [0; 32];
    let mut to = 0;
    for part in [0..8, 9..13, 14..18, 19..23, 24..36] {
        let part = &text[part];
        digits[to..to + part.len()].copy_from_slice(part);
        to += part.len();
    }
    hexadecimal(&digits)
}
