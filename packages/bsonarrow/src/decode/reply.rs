//! Raw replies of find, aggregate and getMore: where the documents are, the cursor, the resume token.
//!
//! <https://www.mongodb.com/docs/manual/reference/command/find/#output>

use super::elements::{ARRAY, DOCUMENT, Element, Elements, INT64, body, int32, int64};

/// One batch of a cursor.
pub(crate) struct Reply<'a> {
    pub(crate) cursor_id: i64,
    /// Where each document begins and ends in the reply.
    pub(crate) documents: Vec<(i64, i64)>,
    pub(crate) resume_token: Option<&'a [u8]>,
}

/// Finds the documents in a raw reply without decoding them.
pub(crate) fn split(raw: &[u8]) -> Result<Reply<'_>, String> {
    let cursor = find(raw, [b"cursor"])?[0].filter(|one| one.tag == DOCUMENT);
    let cursor = cursor.ok_or("it has no cursor document")?;
    let names: [&[u8]; 4] = [b"firstBatch", b"nextBatch", b"id", b"postBatchResumeToken"];
    let [first, next, id, token] = find(cursor.value, names)?;
    let batch = first.or(next).filter(|one| one.tag == ARRAY);
    let id = id.filter(|one| one.tag == INT64).and_then(|one| int64(one.value));
    let (Some(batch), Some(cursor_id)) = (batch, id) else {
        return Err("its cursor has no id or no batch".into());
    };
    let begin = batch.value.as_ptr() as usize - raw.as_ptr() as usize;
    let token = token.filter(|one| one.tag == DOCUMENT).map(|one| one.value);
    Ok(Reply { cursor_id, documents: documents(batch.value, begin as i64)?, resume_token: token })
}

/// The last elements of these names in a document.
fn find<'a, const N: usize>(
    document: &'a [u8],
    names: [&[u8]; N],
) -> Result<[Option<Element<'a>>; N], String> {
    let mut found = [None; N];
    for one in Elements::new(body(document).map_err(|reason| reason.to_string())?) {
        let one = one.map_err(|reason| reason.to_string())?;
        if let Some(place) = names.iter().position(|name| *name == one.name) {
            found[place] = Some(one);
        }
    }
    Ok(found)
}

/// The documents of an array that begins at `begin`; keys are "0", "1", ... so their lengths are known.
fn documents(array: &[u8], begin: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut found = Vec::new();
    let (mut width, mut full) = (3, 10);
    let (mut at, last) = (4, array.len() - 1);
    while at < last {
        if found.len() == full {
            (width, full) = (width + 1, full * 10);
        }
        let first = at + width;
        let wrong = |what: &str| format!("element {} of its batch {what}", found.len());
        if first + 5 > last || array[at] != DOCUMENT || array[first - 1] != 0 {
            return Err(wrong("is not a document"));
        }
        let length = int32(&array[first..]).and_then(|length| usize::try_from(length).ok());
        match length {
            Some(length) if length >= 5 && first + length <= last => at = first + length,
            _ => return Err(wrong("has a wrong length")),
        }
        found.push((begin + first as i64, begin + at as i64));
    }
    Ok(found)
}
