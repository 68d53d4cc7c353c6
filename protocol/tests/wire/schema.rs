//! A reader of iris.proto that knows just enough to say which fields exist, and a scanner of encoded
//! bytes that says which of them occur. Independent of the generated code, so neither can hide a gap.

use std::collections::{BTreeMap, BTreeSet};

const PROTO: &str = include_str!("../../proto/iris/v1/iris.proto");

/// A field of a message, or a value of an enum (whose type is `enum`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// As written, with `optional` or `repeated`.
    pub(crate) kind: String,
}

/// Every message and enum with its fields or values by number.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) messages: BTreeMap<String, BTreeMap<u32, Field>>,
    pub(crate) enums: BTreeMap<String, BTreeMap<u32, Field>>,
}

impl Schema {
    /// Reads the .proto.
    pub(crate) fn read() -> Self {
        let mut schema = Self::default();
        let (mut message, mut name) = (true, String::new());
        for line in PROTO.lines().map(str::trim) {
            let head = line.strip_suffix(" {").and_then(|head| head.split_once(' '));
            if let Some((kind @ ("message" | "enum"), new_name)) = head {
                (message, name) = (kind == "message", new_name.to_owned());
            }
            let Some((number, field)) = field(line) else { continue };
            let group = if message { &mut schema.messages } else { &mut schema.enums };
            let earlier = group.entry(name.clone()).or_default().insert(number, field);
            assert_eq!(earlier, None, "{name} has number {number} twice");
        }
        schema
    }

    /// Adds every `Message.field` that occurs in these bytes of a message, nested ones included.
    pub(crate) fn scan(&self, message: &str, bytes: &[u8], seen: &mut BTreeSet<String>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let tag = varint(&mut rest);
            let number = u32::try_from(tag >> 3).unwrap();
            let field = &self.messages[message][&number];
            seen.insert(format!("{message}.{}", field.name));
            match tag & 7 {
                0 => drop(varint(&mut rest)),
                2 => {
                    let length = usize::try_from(varint(&mut rest)).unwrap();
                    let (inner, behind) = rest.split_at(length);
                    rest = behind;
                    if let Some(kind) = self.message(field) {
                        self.scan(kind, inner, seen);
                    }
                }
                other => panic!("{message}.{} has wire type {other}", field.name),
            }
        }
    }

    /// Every `Message.field` that can be reached from this message.
    pub(crate) fn reachable(&self, message: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for field in self.messages[message].values() {
            found.insert(format!("{message}.{}", field.name));
            if let Some(kind) = self.message(field) {
                found.extend(self.reachable(kind));
            }
        }
        found
    }

    /// The message that a field holds.
    fn message<'a>(&self, field: &'a Field) -> Option<&'a str> {
        let kind = field.kind.rsplit(' ').next()?;
        self.messages.contains_key(kind).then_some(kind)
    }
}

/// `optional uint64 resume_offset = 4;` gives 4 and the field; `DURABILITY_OS = 2;` 2 and the value.
fn field(line: &str) -> Option<(u32, Field)> {
    let (left, number) = line.strip_suffix(';')?.split_once(" = ")?;
    let (kind, name) = left.rsplit_once(' ').unwrap_or(("enum", left));
    Some((number.parse().ok()?, Field { name: name.to_owned(), kind: kind.to_owned() }))
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().expect("a varint ends");
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint has at most ten bytes");
}
