//! The tree of paths: what was seen at each.

use std::collections::HashMap;

use crate::decode::elements::{
    ARRAY, BINARY, DOCUMENT, Elements, JAVASCRIPT, SCOPED, STRING, SYMBOL, body, int32,
};
use crate::decode::validate::FEW;

/// Documents and arrays deeper than this are counted, but not looked into.
const MAX_LEVELS: usize = 32;
/// More names than this below one path are folded into one.
const MAX_NAMES: usize = 1_000;
/// With this many paths together, every new name is folded.
const MAX_PATHS: usize = 20_000;
/// Examples of one type at one path, and bytes of each.
const EXAMPLES: usize = 3;
const CUT: usize = 200;

/// How many paths there are.
#[derive(Default)]
pub(super) struct Room {
    paths: usize,
}

/// Values of one type at one path.
pub(super) struct Seen {
    pub(super) code: u32,
    pub(super) count: u64,
    pub(super) examples: Vec<Box<[u8]>>,
}

/// Lengths of the arrays at one path.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    pub(super) least: u64,
    pub(super) most: u64,
    pub(super) sum: u64,
}

/// Everything seen at one path.
#[derive(Default)]
pub(super) struct Node {
    pub(super) types: Vec<Seen>,
    pub(super) lengths: Option<Lengths>,
    pub(super) items: Option<Box<Node>>,
    /// All names together, once there were too many; there are no members then.
    pub(super) others: Option<Box<Node>>,
    names: Vec<Box<[u8]>>,
    nodes: Vec<Node>,
    /// Name -> place, where there are more than a few.
    places: HashMap<Box<[u8]>, usize>,
}

impl Node {
    /// How many documents were seen here.
    pub(super) fn documents(&self) -> u64 {
        let code = u32::from(DOCUMENT);
        self.types.iter().find(|seen| seen.code == code).map_or(0, |seen| seen.count)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.names.iter().map(|name| &**name).zip(&self.nodes)
    }

    /// Look at a whole, sound document.
    pub(super) fn add_whole(&mut self, body: &[u8], raw: &[u8], room: &mut Room) {
        self.count(DOCUMENT, raw);
        self.add_members(body, 1, room);
    }

    /// Look at a value found in a document or an array of this level.
    fn add(&mut self, tag: u8, value: &[u8], level: usize, room: &mut Room) {
        self.count(tag, value);
        if !matches!(tag, DOCUMENT | ARRAY) || level >= MAX_LEVELS {
            return;
        }
        let Ok(body) = body(value) else { return };
        if tag == DOCUMENT {
            self.add_members(body, level + 1, room);
        } else {
            self.add_items(body, level + 1, room);
        }
    }

    fn count(&mut self, tag: u8, value: &[u8]) {
        let code = code(tag, value);
        let place = self.types.iter().position(|seen| seen.code == code).unwrap_or_else(|| {
            self.types.push(Seen { code, count: 0, examples: Vec::new() });
            self.types.len() - 1
        });
        let seen = &mut self.types[place];
        seen.count += 1;
        if seen.examples.len() < EXAMPLES && !matches!(tag, DOCUMENT | ARRAY) {
            seen.add_example(payload(tag, value));
        }
    }

    fn add_members(&mut self, body: &[u8], level: usize, room: &mut Room) {
        let mut place = 0;
        for one in Elements::new(body).map_while(Result::ok) {
            self.member(one.name, &mut place, room).add(one.tag, one.value, level, room);
        }
    }

    fn add_items(&mut self, body: &[u8], level: usize, room: &mut Room) {
        let mut length = 0;
        for one in Elements::new(body).map_while(Result::ok) {
            length += 1;
            let items = self.items.get_or_insert_with(|| {
                room.paths += 1;
                Box::default()
            });
            items.add(one.tag, one.value, level, room);
        }
        let one = Lengths { least: length, most: length, sum: length };
        self.lengths = Some(self.lengths.map_or(one, |seen| seen.with(one)));
    }

    /// The node of a name; `place` is where it is looked for first, and moves on.
    fn member(&mut self, name: &[u8], place: &mut usize, room: &mut Room) -> &mut Node {
        if self.others.is_none() {
            match self.find(name, *place) {
                Some(found) => {
                    *place = found + 1;
                    return &mut self.nodes[found];
                }
                None if self.names.len() < MAX_NAMES && room.paths < MAX_PATHS => {
                    room.paths += 1;
                    *place = self.names.len() + 1;
                    return self.insert(name.into(), Node::default());
                }
                None => self.fold(room),
            }
        }
        self.others.get_or_insert_with(|| {
            room.paths += 1;
            Box::default()
        })
    }

    #[inline]
    fn find(&self, name: &[u8], hint: usize) -> Option<usize> {
        if self.names.get(hint).is_some_and(|known| **known == *name) {
            return Some(hint);
        }
        if self.names.len() <= FEW {
            return self.names.iter().position(|known| **known == *name);
        }
        self.places.get(name).copied()
    }

    fn insert(&mut self, name: Box<[u8]>, node: Node) -> &mut Node {
        let place = self.names.len();
        if place == FEW {
            self.places = self.names.iter().cloned().zip(0..).collect();
        }
        if place >= FEW {
            self.places.insert(name.clone(), place);
        }
        self.names.push(name);
        self.nodes.push(node);
        &mut self.nodes[place]
    }

    /// Make one of all members, if there are any.
    fn fold(&mut self, room: &mut Room) {
        self.names.clear();
        self.places.clear();
        for node in std::mem::take(&mut self.nodes) {
            absorb(&mut self.others, Some(Box::new(node)), room);
        }
    }

    /// Take in what was seen at another path.
    fn merge(&mut self, other: Node, room: &mut Room) {
        room.paths -= 1;
        for seen in other.types {
            self.merge_seen(seen);
        }
        self.lengths = match (self.lengths, other.lengths) {
            (Some(one), Some(more)) => Some(one.with(more)),
            (one, more) => one.or(more),
        };
        absorb(&mut self.items, other.items, room);
        let mut rest =
            Node { others: other.others, names: other.names, nodes: other.nodes, ..Node::default() };
        if self.others.is_some() || rest.others.is_some() {
            self.fold(room);
            rest.fold(room);
            absorb(&mut self.others, rest.others, room);
            return;
        }
        for (name, node) in rest.names.into_iter().zip(rest.nodes) {
            match self.find(&name, usize::MAX) {
                Some(place) => self.nodes[place].merge(node, room),
                None => _ = self.insert(name, node),
            }
        }
        if self.names.len() > MAX_NAMES {
            self.fold(room);
        }
    }

    fn merge_seen(&mut self, seen: Seen) {
        match self.types.iter_mut().find(|known| known.code == seen.code) {
            None => self.types.push(seen),
            Some(known) => {
                known.count += seen.count;
                for example in seen.examples {
                    known.add_example(&example);
                }
            }
        }
    }
}

/// Merge a node into one that may not be there yet.
fn absorb(into: &mut Option<Box<Node>>, node: Option<Box<Node>>, room: &mut Room) {
    match (into.as_mut(), node) {
        (Some(known), Some(node)) => known.merge(*node, room),
        (None, node) => *into = node,
        (Some(_), None) => {}
    }
}

impl Seen {
    fn add_example(&mut self, payload: &[u8]) {
        let example = &payload[..payload.len().min(CUT)];
        if self.examples.len() < EXAMPLES && !self.examples.iter().any(|known| **known == *example) {
            self.examples.push(example.into());
        }
    }
}

impl Lengths {
    fn with(self, other: Self) -> Self {
        Self {
            least: self.least.min(other.least),
            most: self.most.max(other.most),
            sum: self.sum + other.sum,
        }
    }
}

/// BSON type, with the subtype of binary data above it, and above that whether a UUID is none by its size.
fn code(tag: u8, value: &[u8]) -> u32 {
    if tag != BINARY {
        return u32::from(tag);
    }
    let subtype = value.get(4).copied().unwrap_or_default();
    let odd = subtype == 4 && value.len() != 21;
    u32::from(tag) | u32::from(subtype) << 8 | u32::from(odd) << 16
}

/// What an example keeps of a value: of texts no length and no NUL, of code no scope, of binary data no head.
fn payload(tag: u8, value: &[u8]) -> &[u8] {
    let range = match tag {
        STRING | JAVASCRIPT | SYMBOL => 4..value.len().saturating_sub(1),
        SCOPED => 8..(7 + int32(&value[4..]).unwrap_or_default().max(0) as usize),
        BINARY => 5..value.len(),
        _ => 0..value.len(),
    };
    value.get(range).unwrap_or_default()
}
