//! Draws a [`Watch`], on whatever screen: 80 by 24 has room for everything, and what has no room is left out.
//!
//! Invariants
//! - Nothing here changes what is shown; without colours nothing is lost but colours.

use super::figures::{Figure, Row, Unit, written};
use super::watch::{Health, Watch};
use iris_protocol::Mono;
use ratatui::Frame;
use ratatui::layout::{Rect, Size};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// A figure of the host: its title, a space, its value.
const TITLE_WIDTH: usize = 11;
const VALUE_WIDTH: usize = 7;
const CELL_WIDTH: usize = TITLE_WIDTH + VALUE_WIDTH + 2;
/// Figures of the host beside each other.
const CELLS_MAX: usize = 4;
/// Title, health, the table's head, keys.
const FIXED_LINES: usize = 4;
/// Rows of the table that the chart leaves, if there are so many.
const ROWS_KEPT: usize = 6;
const CHART_LINES_MIN: usize = 4;
const CHART_LINES_MAX: usize = 8;
/// Below this width the title is short.
const NARROW: usize = 60;
/// Columns by how much they are missed.
const PREFERRED: &[Figure] = &[
    Figure::Shard,
    Figure::Messages,
    Figure::Delivered,
    Figure::Connections,
    Figure::Cpu,
    Figure::Sync,
    Figure::Received,
    Figure::Sent,
    Figure::Sessions,
    Figure::Refused,
    Figure::Unclaimed,
];
/// Parts of a line, from nothing to the whole of it.
const BARS: &[char] = &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const KEYS: &[&str] = &["q leave", "p pause", "←→ sort", "r reverse", "↑↓ rows"];

/// How things are set apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// With colours; without, bright and reversed must do.
    pub(super) is_coloured: bool,
}

#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Strong,
    Faint,
    Bar,
    Good,
    Warning,
    Bad,
}

impl Palette {
    fn style(self, tone: Tone) -> Style {
        let coloured = |style: Style, colour| if self.is_coloured { style.fg(colour) } else { style };
        let bold = Style::new().add_modifier(Modifier::BOLD);
        match tone {
            Tone::Plain => Style::new(),
            Tone::Strong => bold,
            Tone::Faint => Style::new().add_modifier(Modifier::DIM),
            Tone::Bar => Style::new().add_modifier(Modifier::REVERSED),
            Tone::Good => coloured(bold, Color::Green),
            Tone::Warning => coloured(bold, Color::Yellow),
            Tone::Bad => coloured(bold.add_modifier(Modifier::REVERSED), Color::Red),
        }
    }
}

/// How many lines each part has.
struct Plan {
    cells: usize,
    total_lines: usize,
    /// Its title included; 0: there is no room for one.
    chart_lines: usize,
    /// Empty lines between the parts.
    gap: usize,
    rows: usize,
}

impl Plan {
    fn of(size: Size, rows_len: usize) -> Self {
        let cells = (usize::from(size.width) / CELL_WIDTH).clamp(1, CELLS_MAX);
        let free = usize::from(size.height).saturating_sub(FIXED_LINES);
        let total_lines = Figure::TOTALS.len().div_ceil(cells).min(free.saturating_sub(rows_len.min(3)));
        let left = free - total_lines;
        let for_chart = left.saturating_sub(rows_len.min(ROWS_KEPT) + 3);
        if for_chart < CHART_LINES_MIN {
            let gap = usize::from(left >= rows_len + 2);
            return Self { cells, total_lines, chart_lines: 0, gap, rows: left - 2 * gap };
        }
        let chart_lines = for_chart.min(CHART_LINES_MAX);
        Self { cells, total_lines, chart_lines, gap: 1, rows: left - chart_lines - 3 }
    }
}

/// How many rows of the table a screen has room for.
pub(super) fn rows_visible(size: Size, watch: &Watch) -> usize {
    Plan::of(size, watch.rows_len()).rows
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, watch: &Watch, now: Mono, palette: Palette) {
    let area = frame.area();
    let plan = Plan::of(area.as_size(), watch.rows_len());
    let health = watch.health(now);
    let is_silent = matches!(health, Health::Silent { .. });
    let mut pen = Pen { frame, area, line: 0, palette };
    pen.title(watch);
    pen.health(&health);
    pen.line += plan.gap;
    pen.totals(watch.total(), &plan, is_silent);
    pen.line += plan.gap;
    if plan.chart_lines > 0 {
        pen.chart(watch, plan.chart_lines - 1);
        pen.line += plan.gap;
    }
    pen.table(watch, is_silent);
    pen.keys(watch);
}

/// Writes one line below the other.
struct Pen<'a, 'f> {
    frame: &'a mut Frame<'f>,
    area: Rect,
    line: usize,
    palette: Palette,
}

impl Pen<'_, '_> {
    fn width(&self) -> usize {
        usize::from(self.area.width)
    }

    fn put(&mut self, line: Line<'_>) {
        if let Ok(y) = u16::try_from(self.line)
            && y < self.area.height
        {
            let place = Rect { y: self.area.y + y, height: 1, ..self.area };
            self.frame.render_widget(line, place);
        }
        self.line += 1;
    }

    fn span(&self, text: impl Into<String>, tone: Tone) -> Span<'static> {
        Span::styled(text.into(), self.palette.style(tone))
    }

    fn title(&mut self, watch: &Watch) {
        let every = format!("every {} s", watch.interval.as_secs_f64());
        let (right, tone) =
            if watch.is_paused { ("paused".to_owned(), Tone::Warning) } else { (every, Tone::Faint) };
        let name = if self.width() < NARROW { "top  " } else { "iris-gateway top  " };
        let room = self.width().saturating_sub(name.len() + right.len() + 1);
        let admin: String = watch.admin.chars().take(room).collect();
        let name = self.span(name, Tone::Strong);
        let admin = self.span(format!("{admin:<room$} "), Tone::Plain);
        let right = self.span(right, tone);
        self.put(Line::from_iter([name, admin, right]));
    }

    fn health(&mut self, health: &Health) {
        let (text, tone) = match health {
            Health::Ready { restarted_s: None } => ("ready".to_owned(), Tone::Good),
            Health::Ready { restarted_s: Some(seconds) } => {
                (format!("ready, restarted {seconds} s ago"), Tone::Warning)
            }
            Health::NotReady(why) if why.is_empty() => ("not ready".to_owned(), Tone::Warning),
            Health::NotReady(why) => (format!("not ready: {why}"), Tone::Warning),
            Health::Silent { seconds, why } => (format!("no answer since {seconds} s: {why}"), Tone::Bad),
        };
        let text = self.span(text, tone);
        self.put(Line::from(text));
    }

    fn totals(&mut self, total: &Row, plan: &Plan, is_silent: bool) {
        for figures in Figure::TOTALS.chunks(plan.cells).take(plan.total_lines) {
            let cells = figures.iter().flat_map(|figure| {
                let text = total.text(*figure, VALUE_WIDTH);
                let is_warning =
                    figure.is_overload() && total.value(*figure).is_some_and(|value| value > 0.0);
                let tone = match (is_silent, is_warning) {
                    (true, _) => Tone::Faint,
                    (false, true) => Tone::Warning,
                    (false, false) => Tone::Strong,
                };
                let title = format!("{:<TITLE_WIDTH$} ", figure.title());
                [self.span(title, Tone::Plain), self.span(format!("{text:>VALUE_WIDTH$} "), tone)]
            });
            let line = cells.collect::<Line<'_>>();
            self.put(line);
        }
    }

    /// Messages a second, the newest on the right.
    fn chart(&mut self, watch: &Watch, lines: usize) {
        let mut values: Vec<f64> = watch.history().take(self.width()).collect();
        let highest = values.iter().copied().fold(0.0, f64::max);
        let looks = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let seconds = (watch.interval * looks).as_secs();
        values.resize(self.width(), 0.0);
        values.reverse();
        let title = self.span("messages/s", Tone::Strong);
        let highest_text = written(Unit::Rate, highest, VALUE_WIDTH);
        let about = self.span(format!(", at most {highest_text} in the last {seconds} s"), Tone::Plain);
        self.put(Line::from_iter([title, about]));
        for below in (0..lines).rev() {
            let bar = |value: &f64| bar(*value / highest.max(1.0), below, lines);
            let text: String = values.iter().map(bar).collect();
            let text = self.span(text, Tone::Good);
            self.put(Line::from(text));
        }
    }

    fn table(&mut self, watch: &Watch, is_silent: bool) {
        let sorted = watch.sort.figure;
        let mark = if watch.sort.is_falling { "▼ " } else { "▲ " };
        let columns = columns(self.width(), sorted);
        let title = |figure: &Figure| {
            let end = if *figure == sorted { mark } else { " " };
            format!("{:>width$}{end}", figure.title(), width = column_width(*figure))
        };
        let head: String = columns.iter().map(title).collect();
        let head = self.span(format!("{head:<width$}", width = self.width()), Tone::Bar);
        self.put(Line::from(head));
        let tone = if is_silent { Tone::Faint } else { Tone::Plain };
        let (_, rows) = watch.rows();
        for row in rows {
            let cell = |figure: &Figure| {
                let (width, end) = (column_width(*figure), if *figure == sorted { "  " } else { " " });
                format!("{:>width$}{end}", row.text(*figure, width))
            };
            let text: String = columns.iter().map(cell).collect();
            let text = self.span(text, tone);
            self.put(Line::from(text));
        }
    }

    /// What can be pressed, and which rows are seen.
    fn keys(&mut self, watch: &Watch) {
        let (before, rows) = watch.rows();
        let hidden = watch.rows_len() > rows.len();
        let which = format!("{}-{} of {}", before + 1, before + rows.len(), watch.rows_len());
        let which = if hidden { which } else { String::new() };
        let mut room = self.width().saturating_sub(which.len());
        let mut text = String::new();
        for key in KEYS {
            let length = key.chars().count() + 2;
            if length > room {
                break;
            }
            text.push_str(key);
            text.push_str("  ");
            room -= length;
        }
        let text = self.span(format!("{text}{:room$}{which}", ""), Tone::Faint);
        self.line = usize::from(self.area.height).saturating_sub(1);
        self.put(Line::from(text));
    }
}

/// The columns that there is room for, and the one that the rows are sorted by.
fn columns(width: usize, sorted: Figure) -> Vec<Figure> {
    let others = PREFERRED.iter().copied().filter(|figure| *figure != sorted);
    let mut taken = vec![sorted];
    // The sorted one has its mark, and a gap.
    let mut room = width.saturating_sub(column_width(sorted) + 2);
    for figure in others {
        let needed = column_width(figure) + 1;
        if needed <= room {
            room -= needed;
            taken.push(figure);
        }
    }
    Figure::COLUMNS.iter().copied().filter(|figure| taken.contains(figure)).collect()
}

/// Without the mark and the gap behind it.
fn column_width(figure: Figure) -> usize {
    // The values of these two are short.
    let least = if matches!(figure, Figure::Shard | Figure::Cpu) { 5 } else { VALUE_WIDTH };
    figure.title().len().max(least)
}

/// The part of a bar that lies in a line with so many lines `below`; `share` is the bar's part of all `lines`.
fn bar(share: f64, below: usize, lines: usize) -> char {
    let steps = BARS.len() - 1;
    let number = |steps: usize| u32::try_from(steps).map_or(f64::MAX, f64::from);
    // Whatever is above nothing is seen.
    let height = (share * number(lines * steps)).max(if share > 0.0 { 1.0 } else { 0.0 });
    let reached = (1..=steps).take_while(|step| height + 0.5 > number(below * steps + step)).count();
    BARS[reached]
}

#[cfg(test)]
mod tests;
