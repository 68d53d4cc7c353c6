//! A report as one offline page: a plot of the distributions by percentile, charts, and the table.
//!
//! Invariants
//! - The page loads nothing and runs nothing: one file, no script.
//! - Every text that comes from outside is escaped.

use crate::chart::Chart;
use crate::histogram::Latencies;
use crate::report::Report;
use crate::schedule::exact;
use std::fmt::Write as _;

/// Size of the plot, in its own units.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// Room for the labels of the axes.
const MARGIN: f64 = 60.0;
/// The plot ends at 99.999 %.
const DECADES: f64 = 5.0;
/// One for each distribution, in turn; told apart by lightness too.
pub(crate) const COLOURS: [&str; 6] = ["#3366cc", "#dc7a1e", "#1f8a5b", "#b03a78", "#7a5cc2", "#6b6b6b"];

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;\
    color-scheme:light dark}table{border-collapse:collapse;width:100%}td{padding:.15rem .6rem;\
    border-bottom:1px solid #8884;vertical-align:top}td:last-child{text-align:right;\
    font-variant-numeric:tabular-nums;overflow-wrap:anywhere}svg{width:100%;height:auto}\
    .axis{stroke:#8888;fill:none}text{font:12px system-ui,sans-serif;fill:currentColor}";

/// The page.
pub fn page(report: &Report, distributions: &[(String, Latencies)], charts: &[Chart]) -> String {
    let mut page = String::from("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    // Writing into a String cannot fail.
    let _ = write!(page, "<title>iris-bench</title><style>{STYLE}</style><h1>iris-bench</h1>");
    let drawn: Vec<_> = distributions.iter().filter(|(_, latencies)| latencies.count() > 0).collect();
    if !drawn.is_empty() {
        page.push_str("<h2>Latency by percentile</h2>");
        plot(&drawn, &mut page);
    }
    if !charts.is_empty() {
        page.push_str("<h2>Curves</h2>");
        for chart in charts {
            chart.draw(&mut page);
        }
    }
    page.push_str("<h2>Figures</h2><table>");
    for (key, value) in report.rows() {
        let _ = write!(page, "<tr><td>{}</td><td>{}</td></tr>", escape(key), escape(&value));
    }
    page.push_str("</table></html>\n");
    page
}

/// Both axes are logarithmic: microseconds upwards, 1/(1 - percentile) to the right.
fn plot(distributions: &[&(String, Latencies)], page: &mut String) {
    let maxima = distributions.iter().map(|(_, latencies)| latencies.summary().max_us);
    let top = maxima.fold(10.0, f64::max).log10().ceil();
    let _ = write!(page, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    let labels = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    for (decade, label) in (0_u32..).zip(labels) {
        let x = across(f64::from(decade));
        let (low, high) = (up(0.0, top), up(top, top));
        let _ = write!(page, "<path class=\"axis\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
        let _ =
            write!(page, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>", low + 18.0);
    }
    let mut power = 0.0;
    while power <= top {
        let (y, left, right) = (up(power, top), across(0.0), across(DECADES));
        let _ = write!(page, "<path class=\"axis\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>");
        let label = microseconds(power);
        let _ = write!(
            page,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 6.0,
            y + 4.0
        );
        power += 1.0;
    }
    for ((name, latencies), colour) in distributions.iter().zip(COLOURS.iter().cycle()) {
        let line = points(latencies, top);
        let _ = write!(
            page,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{line}\"/>"
        );
        let _ = write!(page, "<!-- {} -->", escape(name));
    }
    page.push_str("</svg><p>");
    for ((name, _), colour) in distributions.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(page, "<span style=\"color:{colour}\">&#9632;</span> {} &nbsp; ", escape(name));
    }
    page.push_str("</p>");
}

fn points(latencies: &Latencies, top: f64) -> String {
    let mut line = String::new();
    for step in latencies.inner().iter_quantiles(10) {
        let decades = -(1.0 - step.quantile_iterated_to()).max(1e-5).log10();
        let us = (exact(step.value_iterated_to()) / 1_000.0).max(1.0);
        let _ = write!(line, "{:.1},{:.1} ", across(decades.min(DECADES)), up(us.log10(), top));
    }
    line
}

fn across(decades: f64) -> f64 {
    MARGIN + (WIDTH - 2.0 * MARGIN) * decades / DECADES
}

fn up(power: f64, top: f64) -> f64 {
    HEIGHT - MARGIN / 2.0 - (HEIGHT - MARGIN) * power / top
}

fn microseconds(power: f64) -> String {
    let us = 10_f64.powf(power);
    if us < 1e3 {
        format!("{us:.0} us")
    } else if us < 1e6 {
        format!("{:.0} ms", us / 1e3)
    } else {
        format!("{:.0} s", us / 1e6)
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn latencies() -> Latencies {
        let mut latencies = Latencies::new();
        (1..=1_000).for_each(|us| latencies.record(Duration::from_micros(us)));
        latencies
    }

    /// Texts are escaped, every figure is there, and nothing is loaded or run.
    /// Seen to fail when: `escape` gives its text back.
    #[test]
    fn a_page_shows_every_figure_and_runs_nothing() {
        let mut report = Report::new("latency");
        report.text("host.cpu", "<script src=x>&");
        report.number("delivery.p50_us", 123.5);
        let page = page(&report, &[("delivery".to_owned(), latencies())], &[]);
        assert!(page.contains("&lt;script src=x&gt;&amp;") && !page.contains("<script"));
        assert!(page.contains("123.5") && page.contains("<polyline") && !page.contains("http"));
    }

    /// The plot rises with the percentile and stays inside its frame; an empty distribution is left out.
    /// Seen to fail when: the upward axis is not turned round.
    #[test]
    fn the_plot_rises_inside_its_frame() {
        let line = points(&latencies(), 3.0);
        let parsed: Vec<(f64, f64)> = line
            .split_whitespace()
            .filter_map(|point| point.split_once(','))
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert!(parsed.len() > 20);
        assert!(parsed.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 >= pair[1].1), "{line}");
        assert!(
            parsed.iter().all(|(x, y)| (0.0..=WIDTH).contains(x) && (0.0..=HEIGHT).contains(y)),
            "{line}"
        );
        assert!(!page(&Report::new("x"), &[("none".to_owned(), Latencies::new())], &[]).contains("<svg"));
    }
}
