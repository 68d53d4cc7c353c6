//! What `top` knows and shows, without a terminal, a clock or a socket: answers and keys go in, rows come out.
//!
//! Invariants
//! - A rate is counted between two answers of one process with nothing missed between them: after a failure, and after a restart,
//!   the next answer only begins another count.
//! - What is shown stays as it is while it is paused, but for a gateway that does not answer: that is always told.

use super::figures::{Figure, Figures, Row};
use iris_protocol::Mono;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

/// How many looks the chart remembers: more than the widest screens have columns.
const HISTORY_MAX: usize = 512;
/// An answer that is this late is missed, although nobody has given it up yet.
const LATE: Duration = Duration::from_secs(2);
/// How long a restart is told.
const RESTART_TOLD: Duration = Duration::from_mins(1);

/// One answer of a gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// It takes clients and messages.
    pub(super) is_ready: bool,
    /// What it says about that.
    pub(super) checks: Vec<String>,
    /// Of each core.
    pub(super) shards: Vec<Figures>,
}

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// The gateway has answered.
    Looked(Look),
    /// It has not, and why.
    Failed(String),
    /// Somebody wants something.
    Key(Key),
}

/// What can be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// To end.
    Leave,
    /// To stop the figures, or let them go on.
    Pause,
    /// To sort by the column to the left.
    Left,
    /// To sort by the column to the right.
    Right,
    /// To sort the other way round.
    Reverse,
    /// To see the rows above.
    Up,
    /// To see the rows below.
    Down,
    /// To see the page above.
    PageUp,
    /// To see the page below.
    PageDown,
    /// To see the first rows.
    Home,
    /// To see the last rows.
    End,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Draw again.
    Stay,
    /// Give the terminal back.
    Leave,
}

/// By what the rows are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    /// One of [`Figure::COLUMNS`].
    pub(super) figure: Figure,
    /// The largest first.
    pub(super) is_falling: bool,
}

/// How it is with the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It takes clients and messages; it was restarted so many seconds ago, if that was seen.
    Ready { restarted_s: Option<u64> },
    /// It does not, and what it says.
    NotReady(String),
    /// Its last answer came so many seconds ago.
    Silent { seconds: u64, why: String },
}

/// See the module.
pub(super) struct Watch {
    /// The admin port's URL.
    pub(super) admin: String,
    /// How long between two looks.
    pub(super) interval: Duration,
    /// Nothing that is shown changes.
    pub(super) is_paused: bool,
    /// By what the rows are sorted.
    pub(super) sort: Sort,
    last: Look,
    last_at: Mono,
    /// Why there was no answer since the last one.
    failure: Option<String>,
    restarted_at: Option<Mono>,
    rows: Vec<Row>,
    total: Row,
    /// Messages a second, the newest at the back; 0 where they were not known.
    history: VecDeque<f64>,
    first_row: usize,
    rows_visible: usize,
}

impl Watch {
    /// Begins with the first answer.
    pub(super) fn new(admin: String, interval: Duration, look: Look, now: Mono) -> Self {
        let mut watch = Self {
            admin,
            interval,
            is_paused: false,
            sort: Sort { figure: Figure::Shard, is_falling: false },
            last: Look::default(),
            last_at: now,
            failure: None,
            restarted_at: None,
            rows: Vec::new(),
            total: Row::default(),
            history: VecDeque::new(),
            first_row: 0,
            rows_visible: 1,
        };
        watch.show(look.shards.iter().cloned().map(Row::first).collect());
        watch.last = look;
        watch
    }

    /// Takes what happened at `now`.
    pub(super) fn handle(&mut self, now: Mono, input: Input) -> Flow {
        match input {
            Input::Looked(look) => self.looked(now, look),
            Input::Failed(why) => self.failure = Some(why),
            Input::Key(Key::Leave) => return Flow::Leave,
            Input::Key(Key::Pause) => self.is_paused = !self.is_paused,
            Input::Key(Key::Left) => self.sort_beside(Figure::COLUMNS.len() - 1),
            Input::Key(Key::Right) => self.sort_beside(1),
            Input::Key(Key::Reverse) => {
                self.sort.is_falling = !self.sort.is_falling;
                self.sort_rows();
            }
            Input::Key(Key::Up) => self.first_row = self.first_row.saturating_sub(1),
            Input::Key(Key::Down) => self.first_row += 1,
            Input::Key(Key::PageUp) => self.first_row = self.first_row.saturating_sub(self.rows_visible),
            Input::Key(Key::PageDown) => self.first_row += self.rows_visible,
            Input::Key(Key::Home) => self.first_row = 0,
            Input::Key(Key::End) => self.first_row = self.rows.len(),
        }
        self.fit(self.rows_visible);
        Flow::Stay
    }

    fn looked(&mut self, now: Mono, look: Look) {
        let is_same_count = look.shards.len() == self.last.shards.len();
        let pairs = || look.shards.iter().zip(&self.last.shards);
        let has_restarted = pairs().any(|(now, before)| now.fell_since(before));
        if has_restarted {
            self.restarted_at = Some(now);
        }
        let seconds = since(now, self.last_at).as_secs_f64();
        let is_one_count = is_same_count && !has_restarted && self.failure.is_none();
        let rows = if is_one_count {
            pairs().map(|(now, before)| Row::since(before, now.clone(), seconds)).collect()
        } else {
            look.shards.iter().cloned().map(Row::first).collect()
        };
        (self.last, self.last_at, self.failure) = (look, now, None);
        if !self.is_paused {
            self.show(rows);
            self.history.push_back(self.total.value(Figure::Messages).unwrap_or_default());
            if self.history.len() > HISTORY_MAX {
                self.history.pop_front();
            }
        }
    }

    fn show(&mut self, rows: Vec<Row>) {
        self.total = Row::total(&rows);
        self.rows = rows;
        self.sort_rows();
    }

    fn sort_beside(&mut self, steps: usize) {
        let columns = Figure::COLUMNS;
        let at = columns.iter().position(|figure| *figure == self.sort.figure).unwrap_or_default();
        let figure = columns[(at + steps) % columns.len()];
        self.sort = Sort { figure, is_falling: figure != Figure::Shard };
        self.sort_rows();
    }

    /// What is not known is behind what is; equal ones are in the order of the shards.
    fn sort_rows(&mut self) {
        let Sort { figure, is_falling } = self.sort;
        self.rows.sort_by(|a, b| {
            let by_value = match (a.value(figure), b.value(figure)) {
                (Some(a), Some(b)) if is_falling => b.total_cmp(&a),
                (Some(a), Some(b)) => a.total_cmp(&b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            };
            let shard = |row: &Row| row.value(Figure::Shard).unwrap_or_default();
            by_value.then(shard(a).total_cmp(&shard(b)))
        });
    }

    /// So many rows can be seen: the last page is a full one.
    pub(super) fn fit(&mut self, rows_visible: usize) {
        self.rows_visible = rows_visible.max(1);
        self.first_row = self.first_row.min(self.rows.len().saturating_sub(self.rows_visible));
    }

    /// The rows that can be seen, after how many others.
    pub(super) fn rows(&self) -> (usize, &[Row]) {
        let end = self.rows.len().min(self.first_row + self.rows_visible);
        (self.first_row, self.rows.get(self.first_row..end).unwrap_or_default())
    }

    /// How many rows there are.
    pub(super) fn rows_len(&self) -> usize {
        self.rows.len()
    }

    /// The host.
    pub(super) fn total(&self) -> &Row {
        &self.total
    }

    /// Messages a second at the last looks, the newest first.
    pub(super) fn history(&self) -> impl Iterator<Item = f64> {
        self.history.iter().rev().copied()
    }

    /// How it is with the gateway.
    pub(super) fn health(&self, now: Mono) -> Health {
        let silence = since(now, self.last_at);
        if self.failure.is_some() || silence > self.interval + LATE {
            let why = self.failure.clone().unwrap_or_else(|| "still waiting".to_owned());
            return Health::Silent { seconds: silence.as_secs(), why };
        }
        if !self.last.is_ready {
            let problems = self.last.checks.iter().filter(|check| !check.ends_with("ok"));
            let problems: Vec<&str> =
                problems.map(String::as_str).filter(|text| *text != "not ready").collect();
            return Health::NotReady(problems.join(", "));
        }
        let restarted = self.restarted_at.map(|at| since(now, at)).filter(|ago| *ago < RESTART_TOLD);
        Health::Ready { restarted_s: restarted.map(|ago| ago.as_secs()) }
    }
}

fn since(now: Mono, then: Mono) -> Duration {
    Duration::from_nanos(now.0.saturating_sub(then.0))
}

#[cfg(test)]
mod tests;
