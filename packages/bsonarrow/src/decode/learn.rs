//! What sound documents teach about the columns that they need.

use super::elements::{ARRAY, DOCUMENT, Elements, NULL, body};
use super::join::{MAX_FIELDS, seen};
use super::schema::{Kind, Members, Node};

/// Widens the columns so that they hold this document, whose level is `depth`.
pub(crate) fn document(members: &mut Members, body: &[u8], depth: usize) {
    for one in Elements::new(body).flatten() {
        if let Some(node) = members.named(one.name) {
            value(node, one.tag, one.value, depth);
        }
    }
}

fn value(node: &mut Node, tag: u8, value: &[u8], depth: usize) {
    let known = matches!(
        (&node.kind, tag),
        (Kind::Document(_), DOCUMENT) | (Kind::Array(_), ARRAY) | (Kind::Variant, _)
    );
    if tag == NULL {
        return;
    }
    if !known || node.given.is_some() {
        node.widen(seen(tag, value, depth));
    }
    match (&mut node.kind, tag) {
        (Kind::Document(members), DOCUMENT) => {
            document(members, body(value).unwrap_or_default(), depth + 1);
            if members.nodes.len() > MAX_FIELDS {
                node.kind = Kind::Variant;
                node.extra.clear();
            }
        }
        (Kind::Array(item), ARRAY) => elements(item, body(value).unwrap_or_default(), depth + 1),
        _ => {}
    }
}

fn elements(item: &mut Node, body: &[u8], depth: usize) {
    for one in Elements::new(body).flatten() {
        value(item, one.tag, one.value, depth);
    }
}
