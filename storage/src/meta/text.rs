//! META as text.

use super::{FORMAT_VERSION, Meta, Moving};
use crate::number::{LogKey, RecordNumber, SegmentSequence, Vouch};
use crate::tables::hex;
use iris_protocol::limits::SHARDS_MAX;
use iris_protocol::{Durability, Generation, Incarnation, Wall};
use std::fmt::Write;
use std::str::{FromStr, Lines};
use xxhash_rust::xxh3::xxh3_64;

/// Why a text is not a META.
#[derive(Debug)]
pub(super) enum Problem {
    Version(u32),
    Damaged(String),
}

fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Fsync => "fsync",
        Durability::Os => "os",
    }
}

pub(super) fn print(meta: &Meta) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} {value}");
    };
    line("iris-data", &FORMAT_VERSION.to_string());
    line("incarnation", &hex(&meta.incarnation.0));
    line("log-key", &format!("{:016x}", meta.log_key.0));
    line("generation", &meta.generation.to_string());
    line("clock", &meta.clock.to_string());
    line("host-boot", &meta.host_boot);
    line("origin", &format!("{:016x}", meta.origin));
    line("shards", &meta.shards.to_string());
    let moving = meta.moving.map_or("-".into(), |moving| format!("{}:{}", moving.shards, moving.id));
    line("moving", &moving);
    line("durability", durability_name(meta.durability));
    line("clean", if meta.clean { "yes" } else { "no" });
    for vouch in &meta.vouched {
        line("vouched", &format!("{}:{}", vouch.number, vouch.segment));
    }
    let checksum = xxh3_64(text.as_bytes());
    let _ = writeln!(text, "checksum {checksum:016x}");
    text
}

pub(super) fn parse(bytes: &[u8]) -> Result<Meta, Problem> {
    let damaged = |what: &str| Problem::Damaged(what.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let mut lines = text.lines();
    let version: u32 = value(&mut lines, "iris-data")?;
    // The checksum is judged after the version: another version may have another.
    if version != FORMAT_VERSION {
        return Err(Problem::Version(version));
    }
    let body_bytes = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at.saturating_add(1));
    let (body, last) = text.split_at_checked(body_bytes).ok_or_else(|| damaged("it is cut"))?;
    if last != format!("checksum {:016x}\n", xxh3_64(body.as_bytes())) {
        return Err(damaged("its checksum does not match"));
    }
    let incarnation = word(&mut lines, "incarnation")?;
    let incarnation =
        bytes_of_hex(incarnation).ok_or_else(|| damaged("incarnation is not 16 bytes in hex"))?;
    let log_key = hex_number(&mut lines, "log-key")?;
    let generation = Generation(value(&mut lines, "generation")?);
    let clock = Wall(value(&mut lines, "clock")?);
    let host_boot = word(&mut lines, "host-boot")?.to_owned();
    let origin = hex_number(&mut lines, "origin")?;
    let shards: u16 = value(&mut lines, "shards")?;
    let moving = moving(word(&mut lines, "moving")?)?;
    let durability = match word(&mut lines, "durability")? {
        "fsync" => Durability::Fsync,
        "os" => Durability::Os,
        other => return Err(Problem::Damaged(format!("durability {other}"))),
    };
    let clean = word(&mut lines, "clean")? == "yes";
    let vouched = vouched(body)?;
    if shards == 0 || shards > SHARDS_MAX || vouched.len() < usize::from(shards) {
        return Err(Problem::Damaged(format!("{shards} shards, {} vouched", vouched.len())));
    }
    let log_key = LogKey(log_key);
    let incarnation = Incarnation(incarnation);
    Ok(Meta {
        incarnation,
        log_key,
        generation,
        clock,
        host_boot,
        origin,
        shards,
        moving,
        durability,
        clean,
        vouched,
    })
}

fn word<'t>(lines: &mut Lines<'t>, name: &str) -> Result<&'t str, Problem> {
    let line = lines.next().and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(' '));
    line.ok_or_else(|| Problem::Damaged(format!("{name} is missing")))
}

fn value<T: FromStr>(lines: &mut Lines<'_>, name: &str) -> Result<T, Problem> {
    number(word(lines, name)?, name)
}

fn number<T: FromStr>(text: &str, name: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::Damaged(format!("{name} {text}")))
}

fn hex_number(lines: &mut Lines<'_>, name: &str) -> Result<u64, Problem> {
    let text = word(lines, name)?;
    u64::from_str_radix(text, 16).map_err(|_| Problem::Damaged(format!("{name} {text}")))
}

fn bytes_of_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 {
        return None;
    }
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
}

fn pair<A: FromStr, B: FromStr>(text: &str, name: &str) -> Result<(A, B), Problem> {
    let (one, other) = text.split_once(':').ok_or_else(|| Problem::Damaged(format!("{name} {text}")))?;
    Ok((number(one, name)?, number(other, name)?))
}

fn moving(text: &str) -> Result<Option<Moving>, Problem> {
    if text == "-" {
        return Ok(None);
    }
    let (shards, id) = pair(text, "moving")?;
    Ok(Some(Moving { shards, id: Generation(id) }))
}

fn vouched(body: &str) -> Result<Vec<Vouch>, Problem> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("vouched "));
    lines
        .map(|text| {
            let (number, segment) = pair(text, "vouched")?;
            Ok(Vouch { number: RecordNumber(number), segment: SegmentSequence(segment) })
        })
        .collect()
}
