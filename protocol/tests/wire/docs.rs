//! Holds docs/PROTOCOL.md equal to the code, both ways: codes, limits, fields and the worked example.

use crate::schema::{Field, Schema};
use iris_protocol::limits::{self, Limits};
use iris_protocol::websocket::CloseStatus;
use iris_protocol::{CloseCode, RejectCode};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const PAGE: &str = include_str!("../../../docs/PROTOCOL.md");
const LIMITS_SOURCE: &str = include_str!("../../src/limits.rs");

/// The rows of the table behind `<!-- marker -->`, as trimmed cells, without head and rule.
fn table(marker: &str) -> Vec<Vec<String>> {
    let (_, behind) = PAGE
        .split_once(&format!("<!-- {marker} -->\n"))
        .unwrap_or_else(|| panic!("docs/PROTOCOL.md has no table marked {marker}"));
    let rows = behind.lines().take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// The first three cells of each row; a code, a field or a limit stands in the table once.
fn first_three(marker: &str) -> BTreeSet<[String; 3]> {
    let rows = table(marker);
    let keys: BTreeSet<[String; 3]> =
        rows.iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect();
    assert_eq!(keys.len(), rows.len(), "{marker}: a row stands twice");
    keys
}

/// Proves: G-REJECT-1 (every code is documented with its number and its class, and no other is)
/// Seen to fail when: the row of BUSY is taken out, or its class changed, or NOT_OWNER gets another number.
#[test]
fn the_tables_of_codes_are_those_of_the_page() {
    let rejects = RejectCode::ALL
        .iter()
        .map(|code| [code.number().to_string(), code.name().to_owned(), code.class().name().to_owned()]);
    let closes = CloseCode::ALL
        .iter()
        .map(|code| [code.number().to_string(), code.name().to_owned(), code.class().name().to_owned()]);
    assert_eq!(first_three("table: rejects"), rejects.collect());
    assert_eq!(first_three("table: closes"), closes.collect());
}

/// Proves: G-WS-3 (the statuses of WebSocket closes are those of the page)
/// Seen to fail when: the row of 1008 is taken out, or GOING_AWAY closes with 4113.
#[test]
fn the_table_of_statuses_is_that_of_the_page() {
    let rows = table("table: statuses");
    let documented: BTreeSet<[String; 2]> = rows.iter().map(|row| [row[0].clone(), row[1].clone()]).collect();
    let of_code = |code: &CloseCode| {
        let status = u32::from(CloseStatus::of_code(*code).number());
        if status == 4000 + code.number() {
            ["4000 + number".to_owned(), "every other".to_owned()]
        } else {
            [status.to_string(), code.name().to_owned()]
        }
    };
    assert_eq!(documented, CloseCode::ALL.iter().map(of_code).collect());
}

/// Seen to fail when: the cell "what to do" of FORBIDDEN is emptied.
#[test]
fn every_code_says_when_it_comes_and_what_to_do() {
    for row in table("table: rejects").into_iter().chain(table("table: closes")) {
        assert!(row.len() == 5 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}

/// Proves: G-WIRE-1 (the documented fields are those of the .proto, by number, name and type)
/// Seen to fail when: `Rejected.server_time` is renamed in the page, or a field added to the .proto.
#[test]
fn the_fields_of_every_frame_are_those_of_the_page() {
    let schema = Schema::read();
    let expected = |fields: &BTreeMap<u32, Field>| -> BTreeSet<[String; 3]> {
        let row = |(number, field): (&u32, &Field)| {
            [number.to_string(), format!("`{}`", field.name), field.kind.clone()]
        };
        fields.iter().map(row).collect()
    };
    for (name, fields) in schema.messages.iter().chain(&schema.enums) {
        assert_eq!(first_three(&format!("fields: {name}")), expected(fields), "{name}");
    }
    let documented = PAGE.lines().filter(|line| line.starts_with("<!-- fields: ")).count();
    assert_eq!(documented, schema.messages.len() + schema.enums.len());
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count(number: impl TryInto<u64>) -> String {
    thousands(number.try_into().ok().unwrap())
}

fn bytes(number: impl TryInto<u64>) -> String {
    format!("{} bytes", count(number))
}

/// In the largest unit that leaves no rest.
fn time(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];
    let (unit, size) = units.into_iter().find(|(_, size)| ms.is_multiple_of(*size)).unwrap();
    format!("{} {unit}", thousands(ms / size))
}

macro_rules! rows {
    ($($format:ident $name:ident),* $(,)?) => {
        BTreeMap::from([$((stringify!($name).to_owned(), $format(limits::$name))),*])
    };
}

fn constants() -> BTreeMap<String, String> {
    rows![
        count SLOTS, count SHARDS_MAX, bytes ID_BYTES_MAX, bytes LENGTH_BYTES, bytes FRAME_BYTES_MAX,
        bytes HELLO_BYTES_MAX, bytes PAYLOAD_BYTES_MAX, bytes TOKEN_BYTES_MAX, count WINDOW_MAX,
        count WINDOW_DEFAULT, count SEND_WINDOW, count UNCONFIRMED_MAX, bytes UNCONFIRMED_BYTES_MAX,
        bytes UNSENT_BYTES_MAX, time SKEW_MAX, time STALL_MAX, time PONG_TIMEOUT, time TOKEN_NOTICE,
        time HEARTBEAT_MIN,
        time HEARTBEAT_MAX,
        time SETTLE_DELAY_MAX, time OWN_ACK_DELAY, time OWN_COPY_DELAY_MAX, count OWN_COPIES_WAITING_MAX,
        time OS_SYNC_INTERVAL, time CLOCK_ADVANCE_MAX, bytes UNCLAIMED_ENTRY_BYTES, count DEDUP_MEMORY_MAX,
    ]
}

/// Taken apart without `..`, so that a new limit does not compile until it is here.
fn defaults() -> BTreeMap<String, String> {
    let Limits {
        inbox_envelopes,
        inbox_bytes,
        unclaimed_envelopes,
        unclaimed_bytes,
        unclaimed_total_bytes,
        devices,
        sends_per_second,
        sends_burst,
        new_conversations_per_hour,
        heartbeat,
        login,
        dedup,
        retention,
        detach,
        dedup_rows,
        drain,
        reconnect_spread,
    } = Limits::default();
    let rows = [
        ("inbox_envelopes", count(inbox_envelopes)),
        ("inbox_bytes", bytes(inbox_bytes)),
        ("unclaimed_envelopes", count(unclaimed_envelopes)),
        ("unclaimed_bytes", bytes(unclaimed_bytes)),
        ("unclaimed_total_bytes", bytes(unclaimed_total_bytes)),
        ("devices", count(devices)),
        ("sends_per_second", count(sends_per_second)),
        ("sends_burst", count(sends_burst)),
        ("new_conversations_per_hour", count(new_conversations_per_hour)),
        ("heartbeat", time(heartbeat)),
        ("login", time(login)),
        ("dedup", time(dedup)),
        ("retention", time(retention)),
        ("detach", time(detach)),
        ("dedup_rows", count(dedup_rows)),
        ("drain", time(drain)),
        ("reconnect_spread", time(reconnect_spread)),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Limit and value of each row.
fn documented(marker: &str) -> BTreeMap<String, String> {
    let rows = table(marker);
    let pairs: BTreeMap<String, String> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(pairs.len(), rows.len(), "{marker}: a limit stands twice");
    pairs
}

/// Seen to fail when: WINDOW_MAX is 2,048, or the page says 8 for SHARDS_MAX, or a row is taken out.
#[test]
fn the_tables_of_limits_are_those_of_the_page() {
    assert_eq!(documented("table: limits"), constants());
    assert_eq!(documented("table: defaults"), defaults());
}

/// Seen to fail when: a constant is added to limits.rs and not to the page.
#[test]
fn no_constant_of_the_limits_is_left_out() {
    let name = |line: &str| -> Option<String> {
        let (name, _) = line.strip_prefix("pub const ")?.split_once(':')?;
        Some(name.to_owned())
    };
    let declared: BTreeSet<String> = LIMITS_SOURCE.lines().filter_map(name).collect();
    assert_eq!(declared, constants().into_keys().collect());
}

fn hex_words(line: &str) -> impl Iterator<Item = u8> {
    let comment_begins = |word: &str| word.len() != 2 || u8::from_str_radix(word, 16).is_err();
    line.split_whitespace()
        .take_while(move |word| !comment_begins(word))
        .map(|word| u8::from_str_radix(word, 16).unwrap())
}

/// Seen to fail when: one byte of the example is changed.
#[test]
fn the_worked_example_is_made_of_golden_bytes() {
    let mut examples = 0;
    for example in PAGE.split("<!-- golden: ").skip(1) {
        let (name, rest) = example.split_once(" -->\n```\n").unwrap();
        let (block, _) = rest.split_once("```").unwrap();
        let path = format!("{}/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read_to_string(&path).unwrap();
        let golden: Vec<u8> =
            golden.lines().filter(|line| !line.starts_with('#')).flat_map(hex_words).collect();
        assert_eq!(block.lines().flat_map(hex_words).collect::<Vec<_>>(), golden, "{name}");
        examples += 1;
    }
    assert_eq!(examples, 3, "the page has three worked examples");
}

/// Seen to fail when: a heading is renamed without its place in the contents.
#[test]
fn the_contents_lead_to_headings() {
    let slug = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ');
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let headings: BTreeSet<String> =
        PAGE.lines().filter_map(|line| line.strip_prefix("## ")).map(slug).collect();
    let links: BTreeSet<String> = PAGE
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.to_owned())
        .collect();
    assert_eq!(links, headings);
}
