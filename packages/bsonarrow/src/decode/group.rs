//! The columns of documents: finding the one that the next name belongs to.

use std::collections::HashMap;

use super::column::Column;
use super::elements::find_nul;
use super::reason::{Pushed, Stop};
use super::schema::Node;

/// With this many names or fewer, comparing with each is faster than hashing.
const FEW: usize = 48;

pub(crate) struct Group {
    pub(crate) columns: Vec<Column>,
    names: Vec<Name>,
    /// Which column came behind each one the last time; the last place is that of the beginning.
    follower: Vec<usize>,
    places: HashMap<Box<[u8]>, usize>,
}

/// A name with its NUL, and its first eight bytes as one number.
struct Name {
    head: u64,
    mask: u64,
    text: Box<[u8]>,
}

impl Name {
    fn new(name: &str) -> Self {
        let text = [name.as_bytes(), &[0]].concat();
        let mut head = [0; 8];
        let used = text.len().min(8);
        head[..used].copy_from_slice(&text[..used]);
        let mask = u64::MAX >> (64 - 8 * used);
        Self { head: u64::from_le_bytes(head), mask, text: text.into() }
    }

    /// Whether `bytes`, of which `word` are the first eight, begin with this name.
    #[inline]
    fn begins(&self, word: u64, bytes: &[u8]) -> bool {
        word & self.mask == self.head
            && (self.text.len() <= 8 || bytes.get(8..self.text.len()) == Some(&self.text[8..]))
    }
}

/// The first eight bytes as a number; where there are fewer, 0xFF (which no name has) stands for the rest.
#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(raw) => u64::from_le_bytes(*raw),
        None => {
            let mut raw = [0xFF; 8];
            raw[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(raw)
        }
    }
}

impl Group {
    /// Columns of documents of level `depth`.
    pub(crate) fn new(nodes: &[Node], depth: usize) -> Self {
        let mut places = HashMap::new();
        if nodes.len() > FEW {
            places = nodes.iter().enumerate().map(|(at, node)| (node.name.as_bytes().into(), at)).collect();
        }
        Self {
            columns: nodes.iter().map(|node| Column::new(node, depth)).collect(),
            names: nodes.iter().map(|node| Name::new(&node.name)).collect(),
            follower: (1..nodes.len() + 1).chain([0]).collect(),
            places,
        }
    }

    /// Pushes the members of a document as row `row`; members that it lacks stay behind.
    #[inline]
    pub(crate) fn read(&mut self, body: &[u8], row: usize) -> Pushed<()> {
        let mut rest = body;
        let mut last = self.columns.len();
        while let Some((&tag, behind)) = rest.split_first() {
            last = self.find(behind, last).ok_or(Stop::Mismatch)?;
            let value = behind.get(self.names[last].text.len()..).ok_or(Stop::Mismatch)?;
            let size = self.columns[last].push(tag, value, row)?;
            rest = value.get(size..).ok_or(Stop::Mismatch)?;
        }
        Ok(())
    }

    /// The column of the name at the beginning of `bytes`, where the one before it was `last`.
    #[inline]
    fn find(&mut self, bytes: &[u8], last: usize) -> Option<usize> {
        let word = word_of(bytes);
        let guess = self.follower[last];
        match self.names.get(guess) {
            Some(name) if name.begins(word, bytes) => Some(guess),
            _ => {
                let found = self.search(word, bytes)?;
                self.follower[last] = found;
                Some(found)
            }
        }
    }

    #[inline(never)]
    fn search(&self, word: u64, bytes: &[u8]) -> Option<usize> {
        if self.places.is_empty() {
            return self.names.iter().position(|name| name.begins(word, bytes));
        }
        self.places.get(&bytes[..find_nul(bytes)?]).copied()
    }
}
