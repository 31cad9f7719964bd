//! Bytes as hexadecimal digits: ObjectIds and UUIDs.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut at = 0;
    while at < 256 {
        pairs[at] = [DIGITS[at >> 4], DIGITS[at & 15]];
        at += 1;
    }
    pairs
};

/// Appends two digits for each byte.
pub(crate) fn write(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        out.extend_from_slice(&PAIRS[usize::from(byte)]);
    }
}

/// Appends the 24 digits of an ObjectId.
#[inline]
pub(crate) fn object_id(out: &mut Vec<u8>, bytes: &[u8; 12]) {
    let mut text = [[0; 2]; 12];
    for (pair, byte) in text.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
    out.extend_from_slice(text.as_flattened());
}

/// Appends the 8-4-4-4-12 digits of a UUID.
pub(crate) fn uuid(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&PAIRS[usize::from(*byte)]);
    }
}
