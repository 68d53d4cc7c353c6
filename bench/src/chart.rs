//! Curves over sizes, as a drawing that needs no script.
//!
//! Invariants
//! - On a logarithmic axis each tenfold growth is as long as the next.
//! - A point that was not good is drawn hollow; no point is left out.

use crate::page::{COLOURS, escape};
use std::fmt::Write as _;

/// Size of the drawing, in its own units.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
/// Room for labels: left, right, below and above.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const BELOW: f64 = 44.0;
const ABOVE: f64 = 14.0;
/// Sizes that are written below the axis, at most.
const LABELS_MAX: usize = 15;

/// How an axis grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By powers of ten.
    Logarithmic,
    /// Evenly, from zero.
    FromZero,
}

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The size; above zero on a logarithmic axis.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// The run that it comes from was in order.
    pub is_good: bool,
}

/// Values that belong together.
#[derive(Clone, Debug)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// By growing size.
    pub points: Vec<Point>,
}

/// Series over the same sizes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What grows.
    pub axis: String,
    /// The values' unit.
    pub unit: String,
    /// How sizes go to the right.
    pub across: Scale,
    /// How values go upwards.
    pub up: Scale,
    /// At least one with at least one point.
    pub series: Vec<Series>,
}

impl Chart {
    /// Draws.
    pub fn draw(&self, page: &mut String) {
        let frame = Frame::around(self);
        // Writing into a String cannot fail.
        let _ = write!(page, "<h3>{}</h3>", escape(&self.title));
        let _ = write!(
            page,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title)
        );
        self.grid(&frame, page);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            draw_series(series, &frame, (colour, &self.unit), page);
        }
        page.push_str("</svg><p>");
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let _ = write!(
                page,
                "<span style=\"color:{colour}\">&#9632;</span> {} &nbsp; ",
                escape(&series.name)
            );
        }
        page.push_str("</p>");
    }

    fn grid(&self, frame: &Frame, page: &mut String) {
        let mut sizes: Vec<f64> =
            self.series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let (low, high, right) = (HEIGHT - BELOW, ABOVE, WIDTH - RIGHT);
        let every = sizes.len().div_ceil(LABELS_MAX).max(1);
        for size in sizes.into_iter().step_by(every) {
            let x = frame.across(size);
            let _ = write!(page, "<path class=\"axis\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
            let label = short(size);
            let _ = write!(
                page,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                low + 16.0
            );
        }
        let _ = write!(
            page,
            "<text x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            low + 34.0,
            escape(&self.axis)
        );
        for value in frame.lines() {
            let y = frame.up(value);
            let _ = write!(page, "<path class=\"axis\" d=\"M{LEFT:.1} {y:.1}H{right:.1}\"/>");
            let _ = write!(
                page,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} {}</text>",
                LEFT - 6.0,
                y + 4.0,
                short(value),
                escape(&self.unit)
            );
        }
    }
}

fn draw_series(series: &Series, frame: &Frame, (colour, unit): (&str, &str), page: &mut String) {
    let mut line = String::new();
    for point in &series.points {
        let _ = write!(line, "{:.1},{:.1} ", frame.across(point.x), frame.up(point.y));
    }
    let _ =
        write!(page, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{line}\"/>");
    for point in &series.points {
        let (x, y) = (frame.across(point.x), frame.up(point.y));
        let (fill, remark) = if point.is_good { (colour, "") } else { ("none", ", not held") };
        let _ = write!(
            page,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\">\
             <title>{} at {}: {} {}{remark}</title></circle>",
            escape(&series.name),
            short(point.x),
            short(point.y),
            escape(unit)
        );
    }
}

/// Where sizes and values lie in the drawing.
struct Frame {
    sizes: (f64, f64),
    values: (f64, f64),
    across: Scale,
    up: Scale,
}

impl Frame {
    fn around(chart: &Chart) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let bounds = |of: fn(&Point) -> f64| {
            points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (low, high) = bounds(|point| point.y);
        let values = match chart.up {
            Scale::Logarithmic => {
                let low = low.max(1e-3).log10().floor();
                (low, high.max(1e-3).log10().ceil().max(low + 1.0))
            }
            Scale::FromZero => (0.0, round_up(high)),
        };
        let (small, large) = bounds(|point| point.x);
        let (small, large) = (along(chart.across, small), along(chart.across, large));
        // A single size lies in the middle.
        let sizes = if large > small { (small, large) } else { (small - 0.5, large + 0.5) };
        Self { sizes, values, across: chart.across, up: chart.up }
    }

    fn across(&self, size: f64) -> f64 {
        let (small, large) = self.sizes;
        // The first and the last point keep off the edges.
        let inside = (along(self.across, size) - small) / (large - small) * 0.94 + 0.03;
        LEFT + (WIDTH - LEFT - RIGHT) * inside
    }

    fn up(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * (along(self.up, value) - low) / (high - low)
    }

    /// Values at which lines are drawn.
    fn lines(&self) -> Vec<f64> {
        let (low, high) = self.values;
        let mut lines = Vec::new();
        let (mut at, step) = match self.up {
            Scale::Logarithmic => (low, 1.0),
            Scale::FromZero => (0.0, high / 4.0),
        };
        while at <= high + step / 2.0 {
            lines.push(match self.up {
                Scale::Logarithmic => 10_f64.powf(at),
                Scale::FromZero => at,
            });
            at += step;
        }
        lines
    }
}

/// Where a number lies on an axis.
fn along(scale: Scale, number: f64) -> f64 {
    match scale {
        Scale::Logarithmic => number.max(1e-3).log10(),
        Scale::FromZero => number,
    }
}

/// The next value of 1, 2, 4 or 8 times a power of ten.
fn round_up(value: f64) -> f64 {
    let value = value.max(1e-3);
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|&bound| bound >= value)
        .unwrap_or(value)
}

/// A number as people read it: 1.5k, 64, 0.25.
fn short(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        n if n >= 1e6 => (number / 1e6, "M"),
        n if n >= 1e3 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let digits = if scaled.abs() >= 100.0 || scaled.fract().abs() < 1e-9 {
        0
    } else if scaled.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(across: Scale, scale: Scale, points: &[(f64, f64)]) -> Chart {
        let point = |&(x, y): &(f64, f64)| Point { x, y, is_good: x < 50_000.0 };
        let series = Series { name: "p50 <b>".to_owned(), points: points.iter().map(point).collect() };
        Chart {
            title: "latency".to_owned(),
            axis: "connections".to_owned(),
            unit: "us".to_owned(),
            across,
            up: scale,
            series: vec![series],
        }
    }

    fn places(chart: &Chart) -> Vec<(f64, f64)> {
        let frame = Frame::around(chart);
        chart.series[0].points.iter().map(|point| (frame.across(point.x), frame.up(point.y))).collect()
    }

    /// Larger sizes lie further to the right, larger values higher, all inside the frame; a tenfold is as wide as the next.
    /// Seen to fail when: the axis of sizes is even.
    #[test]
    fn points_lie_inside_the_frame_in_their_order() {
        for scale in [Scale::Logarithmic, Scale::FromZero] {
            let drawn =
                places(&chart(Scale::Logarithmic, scale, &[(1e3, 100.0), (1e4, 120.0), (1e5, 90_000.0)]));
            assert!(drawn.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1), "{drawn:?}");
            assert!(
                drawn.iter().all(|(x, y)| (LEFT..WIDTH).contains(x) && (ABOVE..=HEIGHT - BELOW).contains(y))
            );
            assert!((drawn[1].0 - drawn[0].0 - (drawn[2].0 - drawn[1].0)).abs() < 1e-6);
        }
        for across in [Scale::Logarithmic, Scale::FromZero] {
            let single = places(&chart(across, Scale::FromZero, &[(1e3, 0.0)]));
            assert!((single[0].0 - f64::midpoint(LEFT, WIDTH - RIGHT)).abs() < 1e-6, "{single:?}");
        }
    }

    /// On an even axis a size of 0 has its place, and 1 lies in the middle between 0 and 2.
    /// Seen to fail when: the logarithm is taken of every size.
    #[test]
    fn sizes_from_zero_lie_evenly() {
        let drawn = places(&chart(Scale::FromZero, Scale::FromZero, &[(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]));
        assert!((drawn[1].0 - f64::midpoint(drawn[0].0, drawn[2].0)).abs() < 1e-6, "{drawn:?}");
    }

    /// Every point is drawn and named, what was not held is hollow, and names are escaped.
    /// Seen to fail when: `is_good` is not looked at.
    #[test]
    fn every_point_is_drawn_and_what_was_not_held_is_hollow() {
        let mut page = String::new();
        chart(Scale::Logarithmic, Scale::Logarithmic, &[(1e3, 100.0), (1e4, 120.0), (1e5, 900.0)])
            .draw(&mut page);
        assert_eq!(
            (
                page.matches("<circle").count(),
                page.matches("fill=\"none\" stroke=\"#3366cc\" stroke-width=\"2\">").count()
            ),
            (3, 1)
        );
        assert!(page.contains("p50 &lt;b&gt; at 100k: 900 us, not held") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn numbers_are_short() {
        let expected = [
            (1_000_000.0, "1M"),
            (1_500.0, "1.50k"),
            (65_536.0, "65.5k"),
            (64.0, "64"),
            (0.25, "0.25"),
            (123.4, "123"),
        ];
        for (number, text) in expected {
            assert_eq!(short(number), text);
        }
        assert!((round_up(130.0) - 200.0).abs() < 1e-9 && (round_up(8.5) - 10.0).abs() < 1e-9);
    }
}
