//! Where results go: standard output, and a directory of files.
//!
//! Invariants
//! - Standard output carries the report and nothing else; progress and complaints go to standard error.

use crate::chart::Chart;
use crate::error::BenchError;
use crate::histogram::Latencies;
use crate::options::OutputArgs;
use crate::page::page;
use crate::report::Report;
use crate::schedule::exact;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Prints a report and writes the files that were asked for.
///
/// # Errors
/// A file cannot be written.
pub fn publish(
    report: &Report,
    distributions: &[(String, Latencies)],
    length: Duration,
    args: &OutputArgs,
) -> Result<(), BenchError> {
    publish_with(report, distributions, &Curves::default(), length, args)
}

/// What is shown beside a report and whole distributions.
#[derive(Debug, Default)]
pub struct Curves<'a> {
    /// Charts of the page.
    pub charts: Vec<Chart>,
    /// A distribution's parts, one after the other, and how long each but the last took: intervals of its log.
    pub intervals: Option<Intervals<'a>>,
}

/// See [`Curves::intervals`].
#[derive(Clone, Copy, Debug)]
pub struct Intervals<'a> {
    /// The distribution.
    pub name: &'a str,
    /// Its parts.
    pub parts: &'a [Latencies],
    /// How long each took.
    pub each: Duration,
}

/// The same with curves.
///
/// # Errors
/// A file cannot be written.
pub fn publish_with(
    report: &Report,
    distributions: &[(String, Latencies)],
    curves: &Curves<'_>,
    length: Duration,
    args: &OutputArgs,
) -> Result<(), BenchError> {
    if let Some(directory) = &args.out {
        fs::create_dir_all(directory).map_err(BenchError::io(directory.display().to_string()))?;
        write(&directory.join("report.json"), report.json().as_bytes())?;
        write(&directory.join("report.html"), page(report, distributions, &curves.charts).as_bytes())?;
        for (name, latencies) in distributions {
            write(&directory.join(format!("{name}.hgrm")), percentiles(latencies).as_bytes())?;
            let whole = Intervals { name, parts: std::slice::from_ref(latencies), each: length };
            let intervals = curves.intervals.filter(|it| it.name == name && !it.parts.is_empty());
            let log = interval_log(intervals.unwrap_or(whole), length)?;
            write(&directory.join(format!("{name}.hlog")), &log)?;
        }
    }
    let text = if args.json { report.json() } else { report.table() };
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}").and_then(|()| output.flush()).map_err(BenchError::io("standard output"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BenchError> {
    fs::write(path, bytes).map_err(BenchError::io(path.display().to_string()))
}

/// The percentile distribution as HdrHistogram's own tools print and plot it, in microseconds.
/// Source: AbstractHistogram.outputPercentileDistribution of HdrHistogram for Java.
fn percentiles(latencies: &Latencies) -> String {
    let histogram = latencies.inner();
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut count = 0;
    for step in histogram.iter_quantiles(5) {
        count += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = exact(step.value_iterated_to()) / 1_000.0;
        // Writing into a String cannot fail.
        let _ = write!(text, "{value:12.3} {quantile:14.12} {count:10}");
        let _ =
            if quantile < 1.0 { writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(text) };
    }
    let (mean, deviation) = (histogram.mean() / 1_000.0, histogram.stdev() / 1_000.0);
    let (max, total) = (exact(histogram.max()) / 1_000.0, histogram.len());
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {total:12}]");
    let buckets = histogram.buckets();
    let _ = writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {:12}]", 2048);
    text
}

/// The log of a distribution that took `length` and ends now, in nanoseconds.
fn interval_log(intervals: Intervals<'_>, length: Duration) -> Result<Vec<u8>, BenchError> {
    let name = intervals.name;
    let failed =
        |error: &dyn std::fmt::Debug| BenchError::Protocol(format!("writing {name}.hlog: {error:?}"));
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("iris-bench; values are nanoseconds, Interval_Max is in milliseconds")
        .with_max_value_divisor(1_000_000.0)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| failed(&error))?;
    let (mut from, mut left) = (now.saturating_sub(length), length);
    for part in intervals.parts {
        let took = left.min(intervals.each);
        log.write_histogram(part.inner(), from, took, Tag::new(name)).map_err(|error| failed(&error))?;
        from += took;
        left -= took;
    }
    drop(log);
    Ok(bytes)
}

/// A line that says what is going on, on a terminal only.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows what is done now; hidden unless standard error is a terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Says what is done now.
    pub fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn thousand() -> Latencies {
        let mut latencies = Latencies::new();
        (1..=1_000).for_each(|us| latencies.record(Duration::from_micros(us)));
        latencies
    }

    /// The percentile file ends at the largest value with the whole count.
    /// Seen to fail when: counts are not added up.
    #[test]
    fn the_percentile_file_ends_with_everything() {
        let text = percentiles(&thousand());
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let fields: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(fields[1..], ["1.000000000000", "1000"]);
        assert!((fields[0].parse::<f64>().unwrap() - 1_000.0).abs() < 1.0);
        assert!(text.contains("#[Max"));
    }

    /// The log holds the histograms that were written, each with its length.
    /// Seen to fail when: an empty histogram is written.
    #[test]
    fn the_log_can_be_read_back() {
        let parts = [thousand(), Latencies::new(), thousand()];
        let each = Duration::from_mins(1);
        let intervals = Intervals { name: "delivery", parts: &parts, each };
        let bytes = interval_log(intervals, Duration::from_secs(150)).unwrap();
        let mut read = Vec::new();
        for entry in IntervalLogIterator::new(&bytes).map(Result::unwrap) {
            let LogEntry::Interval(interval) = entry else { continue };
            let decoded = base64_decode(interval.encoded_histogram());
            let histogram: hdrhistogram::Histogram<u64> =
                Deserializer::new().deserialize(&mut decoded.as_slice()).unwrap();
            read.push((interval.duration().as_secs(), histogram.len()));
        }
        assert_eq!(read, [(60, 1_000), (60, 0), (30, 1_000)]);
    }

    fn base64_decode(text: &str) -> Vec<u8> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
        for byte in text.bytes().filter(|&byte| byte != b'=') {
            let digit = ALPHABET.iter().position(|&letter| letter == byte).unwrap();
            bits = bits << 6 | u32::try_from(digit).unwrap();
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
            }
        }
        bytes
    }
}
