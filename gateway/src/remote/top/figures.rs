//! What `top` shows of a core and of the host: each figure once, with how it is counted and written.
//!
//! Invariants
//! - A figure that the gateway does not tell is absent, not 0.

use serde_json::Value;
use std::collections::BTreeMap;

/// Something that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Shard,
    Connections,
    Sessions,
    Messages,
    Delivered,
    Received,
    Sent,
    Sync,
    Cpu,
    Refused,
    Unclaimed,
    Records,
    LogBytes,
    Mail,
    Logins,
    Handshakes,
    Busy,
    InboxFull,
    Paused,
    Slow,
    Reset,
}

/// How a figure is counted from what the gateway tells, by the names of `/api/v1/shards`.
enum Count {
    /// It is told as it is.
    Level(&'static str),
    /// The first, without the second.
    Without(&'static str, &'static str),
    /// What these rose by in a second, together.
    Rise(&'static [&'static str]),
    /// What the first rose by for each one that the second rose by.
    Mean(&'static str, &'static str),
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Whole ones.
    Number,
    /// So many a second.
    Rate,
    /// Bytes, or bytes a second.
    Bytes,
    /// Microseconds, written as milliseconds.
    Milliseconds,
    /// Microseconds a second, written as a share of one processor.
    Share,
}

struct Facts {
    title: &'static str,
    unit: Unit,
    count: Count,
}

impl Figure {
    /// The columns of the table, in their order.
    pub(super) const COLUMNS: &'static [Self] = &[
        Self::Shard,
        Self::Connections,
        Self::Sessions,
        Self::Messages,
        Self::Delivered,
        Self::Received,
        Self::Sent,
        Self::Sync,
        Self::Cpu,
        Self::Refused,
        Self::Unclaimed,
    ];
    /// The figures of the host, the first where there is no room for all.
    pub(super) const TOTALS: &'static [Self] = &[
        Self::Connections,
        Self::Messages,
        Self::Received,
        Self::Sync,
        Self::Sessions,
        Self::Delivered,
        Self::Sent,
        Self::Cpu,
        Self::Logins,
        Self::Records,
        Self::LogBytes,
        Self::Mail,
        Self::Refused,
        Self::Busy,
        Self::InboxFull,
        Self::Paused,
        Self::Reset,
        Self::Slow,
        Self::Unclaimed,
        Self::Handshakes,
    ];

    fn facts(self) -> Facts {
        let (title, unit, count) = match self {
            Self::Shard => ("shard", Unit::Number, Count::Level("shard")),
            Self::Connections => ("conns", Unit::Number, Count::Level("connections")),
            Self::Sessions => ("sessions", Unit::Number, Count::Without("connections", "unauthenticated")),
            Self::Messages => ("messages/s", Unit::Rate, Count::Rise(&["accepted"])),
            Self::Delivered => ("delivered/s", Unit::Rate, Count::Rise(&["delivered"])),
            Self::Received => ("in/s", Unit::Bytes, Count::Rise(&["receive_bytes"])),
            Self::Sent => ("out/s", Unit::Bytes, Count::Rise(&["send_bytes"])),
            Self::Sync => ("log sync", Unit::Milliseconds, Count::Mean("record_write_us", "records")),
            Self::Cpu => ("cpu", Unit::Share, Count::Rise(&["cpu_us"])),
            Self::Refused => ("refused/s", Unit::Rate, Count::Rise(&["rejected"])),
            Self::Unclaimed => ("unclaimed", Unit::Bytes, Count::Level("unclaimed_bytes")),
            Self::Records => ("records/s", Unit::Rate, Count::Rise(&["records"])),
            Self::LogBytes => ("log/s", Unit::Bytes, Count::Rise(&["log_bytes"])),
            Self::Mail => ("mail/s", Unit::Rate, Count::Rise(&["mails"])),
            Self::Logins => ("logins/s", Unit::Rate, Count::Rise(&["logins"])),
            Self::Handshakes => ("handshakes", Unit::Number, Count::Level("handshakes_waiting")),
            Self::Busy => ("busy/s", Unit::Rate, Count::Rise(&["busy"])),
            Self::InboxFull => ("inbox full", Unit::Rate, Count::Rise(&["inbox_full"])),
            Self::Paused => ("paused/s", Unit::Rate, Count::Rise(&["backpressure"])),
            Self::Slow => ("slow/s", Unit::Rate, Count::Rise(&["slow_consumers"])),
            Self::Reset => ("reset/s", Unit::Rate, Count::Rise(RESETS)),
        };
        Facts { title, unit, count }
    }

    /// Its heading.
    pub(super) fn title(self) -> &'static str {
        self.facts().title
    }

    /// How it is written.
    pub(super) fn unit(self) -> Unit {
        self.facts().unit
    }

    /// True for what is above 0 only while the gateway turns something away.
    pub(super) fn is_overload(self) -> bool {
        match self {
            Self::Refused | Self::Busy | Self::InboxFull | Self::Paused | Self::Slow | Self::Reset => true,
            Self::Shard
            | Self::Connections
            | Self::Sessions
            | Self::Messages
            | Self::Delivered
            | Self::Received
            | Self::Sent
            | Self::Sync
            | Self::Cpu
            | Self::Unclaimed
            | Self::Records
            | Self::LogBytes
            | Self::Mail
            | Self::Logins
            | Self::Handshakes => false,
        }
    }
}

/// Connections that are reset before TLS begins.
const RESETS: &[&str] =
    &["refused_banned", "refused_unauthenticated", "refused_handshakes", "handshakes_refused"];

/// Figures of a core at one moment, or what they rose by in a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Those of an element of `/api/v1/shards`.
    pub(super) fn of(shard: &Value) -> Self {
        let all = shard.as_object().into_iter().flatten();
        Self(all.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect())
    }

    fn find(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    fn add(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            *self.0.entry(name.clone()).or_default() += value;
        }
    }

    /// True if something that only rises is less than before: another process has begun to count.
    pub(super) fn fell_since(&self, before: &Self) -> bool {
        let rising =
            Figure::COLUMNS.iter().chain(Figure::TOTALS).flat_map(|figure| match figure.facts().count {
                Count::Level(_) | Count::Without(..) => Vec::new(),
                Count::Rise(names) => names.to_vec(),
                Count::Mean(sum, of) => vec![sum, of],
            });
        rising
            .into_iter()
            .any(|name| self.find(name).zip(before.find(name)).is_some_and(|(now, then)| now < then))
    }

    /// What they rose by in a second, `seconds` after `before`.
    fn rise_since(&self, before: &Self, seconds: f64) -> Self {
        let rise = |(name, value): (&String, &f64)| {
            let rise = (value - before.find(name)?).max(0.0) / seconds.max(0.001);
            Some((name.clone(), rise))
        };
        Self(self.0.iter().filter_map(rise).collect())
    }
}

/// A core, or the host, as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    levels: Figures,
    /// What the figures rose by in a second, where that can be told.
    rises: Option<Figures>,
}

impl Row {
    /// A core whose rises cannot be told yet.
    pub(super) fn first(levels: Figures) -> Self {
        Self { levels, rises: None }
    }

    /// A core `seconds` after `before`.
    pub(super) fn since(before: &Figures, levels: Figures, seconds: f64) -> Self {
        let rises = Some(levels.rise_since(before, seconds));
        Self { levels, rises }
    }

    /// All cores together.
    pub(super) fn total(rows: &[Self]) -> Self {
        let mut total = Self::default();
        for row in rows {
            total.levels.add(&row.levels);
            if let Some(rises) = &row.rises {
                total.rises.get_or_insert_default().add(rises);
            }
        }
        total
    }

    /// A figure, in the unit that it is told in.
    pub(super) fn value(&self, figure: Figure) -> Option<f64> {
        match figure.facts().count {
            Count::Level(name) => self.levels.find(name),
            Count::Without(all, without) => {
                Some((self.levels.find(all)? - self.levels.find(without)?).max(0.0))
            }
            Count::Rise(names) => {
                let rises = self.rises.as_ref()?;
                names.iter().filter_map(|name| rises.find(name)).reduce(|sum, rise| sum + rise)
            }
            Count::Mean(sum, of) => {
                let rises = self.rises.as_ref()?;
                let of = rises.find(of).filter(|of| *of > 0.0)?;
                Some(rises.find(sum)? / of)
            }
        }
    }

    /// A figure as it is written in so many columns at most; "-" if it is not known.
    pub(super) fn text(&self, figure: Figure, width_max: usize) -> String {
        self.value(figure).map_or_else(|| "-".to_owned(), |value| written(figure.unit(), value, width_max))
    }
}

/// A value of this unit; only the number of digits of a sum or a rate depends on the columns.
pub(super) fn written(unit: Unit, value: f64, width_max: usize) -> String {
    match unit {
        Unit::Number => fitting(value, false, width_max),
        Unit::Rate => fitting(value, true, width_max),
        Unit::Bytes => scaled(value, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]),
        Unit::Milliseconds if value < 9_950.0 => format!("{:.2} ms", value / 1e3),
        Unit::Milliseconds if value < 999_500.0 => format!("{:.0} ms", value / 1e3),
        Unit::Milliseconds => format!("{:.1} s", value / 1e6),
        Unit::Share => format!("{:.0} %", value / 1e4),
    }
}

/// All digits, in threes; where they do not fit, in thousands or more.
fn fitting(value: f64, has_fraction: bool, width_max: usize) -> String {
    if has_fraction && value > 0.0 && value < 9.95 {
        return format!("{value:.1}");
    }
    let digits = in_threes(&format!("{value:.0}"));
    if digits.len() <= width_max { digits } else { scaled(value, 1000.0, &["", "k", "M", "G", "T"]) }
}

fn in_threes(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At most three digits, and the unit that they need.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let (mut value, mut units) = (value, units.iter().copied().peekable());
    let first = units.peek().copied();
    let mut unit = units.next().unwrap_or_default();
    while value >= 999.5
        && let Some(next) = units.next()
    {
        (value, unit) = (value / step, next);
    }
    let is_whole = first == Some(unit) || value >= 9.95;
    if is_whole { format!("{value:.0}{unit}") } else { format!("{value:.1}{unit}") }
}

#[cfg(test)]
mod tests;
