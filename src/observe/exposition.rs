//! Writes metrics: the text exposition format 0.0.4, or OpenMetrics 1.0.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text exposition format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0, for those who ask for it.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for; text if it does not ask for OpenMetrics 1.0.
    pub fn wanted(accept: &str) -> Self {
        let (mut open, mut text, mut rest) = (None, None, None);
        for range in accept.split(',').take(MOST_RANGES) {
            let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
            let Some(quality) = quality(parameters) else { continue };
            let best = match kind.trim().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" if is_version_1(parameters) => &mut open,
                "text/plain" => &mut text,
                "*/*" | "text/*" => &mut rest,
                _ => continue,
            };
            *best = (*best).max(Some(quality));
        }
        match (open, text.or(rest)) {
            (Some(0), _) => Self::Text,
            (Some(open), text) if Some(open) >= text => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// So many parts of an `Accept` header are looked at.
const MOST_RANGES: usize = 32;

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|p| p.1)
}

/// `q` in thousandths; 1000 without one, nothing if it cannot be read.
fn quality(parameters: &str) -> Option<u32> {
    let Some(typed) = parameter(parameters, "q") else { return Some(1000) };
    let quality: f64 = typed.parse().ok()?;
    (0.0..=1.0).contains(&quality).then(|| (quality * 1000.0).round() as u32)
}

fn is_version_1(parameters: &str) -> bool {
    parameter(parameters, "version")
        .is_none_or(|version| matches!(version.trim_matches('"'), "1.0.0" | "1.0"))
}

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Values in buckets.
    Histogram,
    /// 1, with what is to be known as labels; its name ends in `_info`.
    Info,
}

impl Kind {
    fn word(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Counter, _) => "counter",
            (Self::Gauge, _) | (Self::Info, Format::Text) => "gauge",
            (Self::Histogram, _) => "histogram",
            (Self::Info, Format::OpenMetrics) => "info",
        }
    }

    /// What the name of a family ends in that OpenMetrics puts to its samples' names only.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

/// Metrics being written.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    pub(super) fn new(format: Format, capacity: usize) -> Self {
        Self { format, text: String::with_capacity(capacity) }
    }

    /// Begins a family; nothing is written of one that has no lines.
    pub(super) fn family<'a>(&'a mut self, kind: Kind, name: &'a str, help: &'a str) -> Family<'a> {
        Family { out: self, kind, name, help, begun: false }
    }

    /// What was written.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// Writes what a registry gathered.
    pub(super) fn gathered(&mut self, families: &[MetricFamily]) {
        for gathered in families {
            let kind = match gathered.get_field_type() {
                MetricType::COUNTER => Kind::Counter,
                MetricType::HISTOGRAM => Kind::Histogram,
                _ if gathered.name().ends_with("_info") => Kind::Info,
                _ => Kind::Gauge,
            };
            let mut family = self.family(kind, gathered.name(), gathered.help());
            for metric in gathered.get_metric() {
                let labels = Labels::Gathered(metric.get_label());
                match kind {
                    Kind::Counter => family.sample("", labels, None, metric.get_counter().get_value()),
                    Kind::Gauge | Kind::Info => {
                        family.sample("", labels, None, metric.get_gauge().get_value());
                    }
                    Kind::Histogram => {
                        let histogram = metric.get_histogram();
                        let bucket = |b: &prometheus::proto::Bucket| (b.upper_bound(), b.cumulative_count());
                        let buckets = histogram.get_bucket().iter().map(bucket);
                        let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
                        family.buckets(labels, buckets, sum, count);
                    }
                }
            }
        }
    }
}

/// Labels with their values.
#[derive(Clone, Copy)]
enum Labels<'a> {
    Pairs(&'a [(&'a str, &'a str)]),
    Gathered(&'a [LabelPair]),
}

/// One family of metrics.
#[derive(Debug)]
pub(super) struct Family<'a> {
    out: &'a mut Exposition,
    kind: Kind,
    name: &'a str,
    help: &'a str,
    begun: bool,
}

impl Family<'_> {
    /// A line with a whole number.
    pub(super) fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        self.name_and_labels("", Labels::Pairs(labels), None);
        let _ = writeln!(self.out.text, " {value}");
    }

    /// A line with any number.
    pub(super) fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", Labels::Pairs(labels), None, value);
    }

    /// A histogram: the upper bounds of its buckets but for the last, each with what is up to it.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        self.buckets(Labels::Pairs(labels), buckets, sum, count);
    }

    fn buckets(
        &mut self,
        labels: Labels<'_>,
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        let bounded = buckets.filter(|(bound, _)| bound.is_finite());
        for (bound, below) in bounded.chain([(f64::INFINITY, count)]) {
            self.name_and_labels("_bucket", labels, Some(bound));
            let _ = writeln!(self.out.text, " {below}");
        }
        self.sample("_sum", labels, None, sum);
        self.name_and_labels("_count", labels, None);
        let _ = writeln!(self.out.text, " {count}");
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: f64) {
        self.name_and_labels(suffix, labels, bound);
        self.out.text.push(' ');
        number(&mut self.out.text, value);
        self.out.text.push('\n');
    }

    fn name_and_labels(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<f64>) {
        self.begin();
        let format = self.out.format;
        let text = &mut self.out.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let mut open = '{';
        let mut label = |text: &mut String, name: &str, value: &str| {
            text.push(open);
            open = ',';
            text.push_str(name);
            text.push_str("=\"");
            escaped(text, value, true);
            text.push('"');
        };
        match labels {
            Labels::Pairs(pairs) => pairs.iter().for_each(|(name, value)| label(text, name, value)),
            Labels::Gathered(pairs) => pairs.iter().for_each(|pair| label(text, pair.name(), pair.value())),
        }
        if let Some(bound) = bound {
            label(text, "le", &bound_text(bound, format));
        }
        if open == ',' {
            text.push('}');
        }
    }

    /// The lines before the first sample.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let format = self.out.format;
        let text = &mut self.out.text;
        let word = self.kind.word(format);
        let name = match format {
            Format::Text => self.name,
            Format::OpenMetrics => self.name.strip_suffix(self.kind.suffix()).unwrap_or(self.name),
        };
        let _ = write!(text, "# HELP {name} ");
        escaped(text, self.help, format == Format::OpenMetrics);
        let _ = writeln!(text, "\n# TYPE {name} {word}");
        if format == Format::OpenMetrics && self.kind != Kind::Info {
            let unit = ["seconds", "bytes"]
                .into_iter()
                .find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
            if let Some(unit) = unit {
                let _ = writeln!(text, "# UNIT {name} {unit}");
            }
        }
    }
}

/// Text in which nothing ends its line or its quotes.
fn escaped(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

fn number(out: &mut String, value: f64) {
    let _ = if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        write!(out, "{value}")
    };
}

/// A bucket's bound. In OpenMetrics whole numbers have a point, and small ones an exponent, so that there is one way
/// to write each.
fn bound_text(bound: f64, format: Format) -> String {
    let mut text = String::new();
    if format == Format::OpenMetrics && bound > 0.0 && bound < 1e-4 {
        let typed = format!("{bound:e}");
        let (digits, exponent) = typed.split_once("e-").unwrap_or((&typed, "0"));
        let _ = write!(text, "{digits}e-{exponent:0>2}");
        return text;
    }
    number(&mut text, bound);
    if format == Format::OpenMetrics && text.bytes().all(|b| b.is_ascii_digit()) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut out = Exposition::new(format, 0);
        out.family(Kind::Gauge, "a_none", "Nothing.");
        let mut family = out.family(Kind::Counter, "a_reads_total", "With \"quotes\" and \\ and\nlines.");
        family.count(&[], 7);
        family.count(&[("k", "a\"b\\c\nd"), ("l", "ü")], u64::MAX);
        let mut family = out.family(Kind::Gauge, "a_rest_bytes", "Rest.");
        family.value(&[("k", "")], 0.5);
        family.value(&[("k", "x")], f64::NAN);
        family.value(&[("k", "y")], f64::NEG_INFINITY);
        let mut family = out.family(Kind::Histogram, "a_wait_seconds", "Wait.");
        family.histogram(&[("k", "v")], [(0.000_025, 1), (0.5, 2), (10.0, 3)].into_iter(), 12.25, 4);
        out.family(Kind::Info, "a_build_info", "Build.").count(&[("version", "1")], 1);
        out.finish()
    }

    #[test]
    fn text_is_written_as_prometheus_reads_it() {
        insta::assert_snapshot!(written(Format::Text), @r##"
        # HELP a_reads_total With "quotes" and \\ and\nlines.
        # TYPE a_reads_total counter
        a_reads_total 7
        a_reads_total{k="a\"b\\c\nd",l="ü"} 18446744073709551615
        # HELP a_rest_bytes Rest.
        # TYPE a_rest_bytes gauge
        a_rest_bytes{k=""} 0.5
        a_rest_bytes{k="x"} NaN
        a_rest_bytes{k="y"} -Inf
        # HELP a_wait_seconds Wait.
        # TYPE a_wait_seconds histogram
        a_wait_seconds_bucket{k="v",le="0.000025"} 1
        a_wait_seconds_bucket{k="v",le="0.5"} 2
        a_wait_seconds_bucket{k="v",le="10"} 3
        a_wait_seconds_bucket{k="v",le="+Inf"} 4
        a_wait_seconds_sum{k="v"} 12.25
        a_wait_seconds_count{k="v"} 4
        # HELP a_build_info Build.
        # TYPE a_build_info gauge
        a_build_info{version="1"} 1
        "##);
    }

    #[test]
    fn openmetrics_has_units_and_an_end() {
        insta::assert_snapshot!(written(Format::OpenMetrics), @r##"
        # HELP a_reads With \"quotes\" and \\ and\nlines.
        # TYPE a_reads counter
        a_reads_total 7
        a_reads_total{k="a\"b\\c\nd",l="ü"} 18446744073709551615
        # HELP a_rest_bytes Rest.
        # TYPE a_rest_bytes gauge
        # UNIT a_rest_bytes bytes
        a_rest_bytes{k=""} 0.5
        a_rest_bytes{k="x"} NaN
        a_rest_bytes{k="y"} -Inf
        # HELP a_wait_seconds Wait.
        # TYPE a_wait_seconds histogram
        # UNIT a_wait_seconds seconds
        a_wait_seconds_bucket{k="v",le="2.5e-05"} 1
        a_wait_seconds_bucket{k="v",le="0.5"} 2
        a_wait_seconds_bucket{k="v",le="10.0"} 3
        a_wait_seconds_bucket{k="v",le="+Inf"} 4
        a_wait_seconds_sum{k="v"} 12.25
        a_wait_seconds_count{k="v"} 4
        # HELP a_build Build.
        # TYPE a_build info
        a_build_info{version="1"} 1
        # EOF
        "##);
    }

    #[test]
    fn openmetrics_is_for_those_who_ask() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus_2,
            prometheus_3,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8",
            "text/plain;q=0.5, application/openmetrics-text; version=\"1.0.0\"",
            "text/plain, application/openmetrics-text",
            "*/*;q=0.9,application/openmetrics-text;q=0.9",
        ] {
            assert_eq!(Format::wanted(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0,*/*;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.4,text/plain;q=0.5",
            "application/openmetrics-text;q=often",
            "application/openmetrics-text;q=7,text/plain",
            ";;;,=,q=;,\u{0}",
            &"a,".repeat(10_000),
        ] {
            assert_eq!(Format::wanted(accept), Format::Text, "{accept}");
        }
    }
}
