//! `latency.hlog`: the latencies of a trial as HdrHistogram interval log, version 2 compressed,
//! which HdrHistogram's own tools read too. The entry without a tag is the commit latency; tagged
//! entries hold parts of it: of its time, tagged `interval`, or of what a commit waits for. All are
//! in nanoseconds.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

/// Digits a latency histogram keeps.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Tag of the equal parts of the measured time, in their order.
const INTERVAL: &str = "interval";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An empty histogram of nanoseconds as the harness records and merges them.
pub(crate) fn empty_histogram_ns() -> Result<Histogram<u64>> {
    Histogram::new(SIGNIFICANT_DIGITS).map_err(|error| anyhow!("no such histogram: {error}"))
}

/// The content of `latency.hlog`: the commit latency, then each tagged part of it. A tag must not
/// hold a comma or white space.
pub(crate) fn to_hlog(
    commit_ns: &Histogram<u64>,
    tagged_ns: &[(&str, &Histogram<u64>)],
    measured: Duration,
) -> Result<Vec<u8>> {
    to_hlog_with_intervals(commit_ns, tagged_ns, &[], measured)
}

/// The same with equal parts of the measured time; commits counted where they began.
pub(crate) fn to_hlog_with_intervals(
    commit_ns: &Histogram<u64>,
    tagged_ns: &[(&str, &Histogram<u64>)],
    intervals_ns: &[Histogram<u64>],
    measured: Duration,
) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("Nanoseconds; the interval without a tag is the commit latency.")
        .begin_log_with(&mut content, &mut serializer)
        .context("cannot encode the latency histograms")?;
    let mut write = |histogram: &Histogram<u64>, start, length, tag: Option<&str>| -> Result<()> {
        let tag = match tag {
            Some(text) => Some(Tag::new(text).with_context(|| format!("{text:?} is no tag"))?),
            None => None,
        };
        log.write_histogram(histogram, start, length, tag)
            .map_err(|error| anyhow!("cannot encode the latency histograms: {error:?}"))
    };
    write(commit_ns, Duration::ZERO, measured, None)?;
    for (tag, histogram) in tagged_ns {
        write(histogram, Duration::ZERO, measured, Some(tag))?;
    }
    let count = u32::try_from(intervals_ns.len().max(1)).context("too many intervals")?;
    for (index, histogram) in (0..count).zip(intervals_ns) {
        let start = measured * index / count;
        write(histogram, start, measured * (index + 1) / count - start, Some(INTERVAL))?;
    }
    Ok(content)
}

/// The commit latency in the content of a `latency.hlog`.
pub(crate) fn from_hlog(content: &[u8]) -> Result<Histogram<u64>> {
    let mut merged = empty_histogram_ns()?;
    for histogram in tagged(content, None)? {
        merged.add(&histogram).map_err(|error| anyhow!("it does not fit: {error:?}"))?;
    }
    Ok(merged)
}

/// The parts of the measured time in the content of a `latency.hlog`, in their order; none in one
/// of schema version 1.0.
pub(crate) fn intervals_from_hlog(content: &[u8]) -> Result<Vec<Histogram<u64>>> {
    tagged(content, Some(INTERVAL))
}

/// Every histogram of this tag.
fn tagged(content: &[u8], tag: Option<&str>) -> Result<Vec<Histogram<u64>>> {
    let mut found = Vec::new();
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(content) {
        let entry = entry.map_err(|error| anyhow!("not an HdrHistogram log: {error:?}"))?;
        let LogEntry::Interval(interval) = entry else { continue };
        if interval.tag().as_ref().map(Tag::as_str) != tag {
            continue;
        }
        let encoded = from_base64(interval.encoded_histogram()).context("it is damaged")?;
        let histogram = deserializer
            .deserialize(&mut encoded.as_slice())
            .map_err(|error| anyhow!("it is damaged: {error}"))?;
        found.push(histogram);
    }
    Ok(found)
}

/// RFC 4648, section 4, with padding; the log's reader leaves this step to its caller.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = BASE64.iter().position(|known| known == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        // Digits that are missing from the last group carry no bits.
        let [_, whole @ ..] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend_from_slice(&whole[..group.len() - 1]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values_ns: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = empty_histogram_ns().expect("histogram");
        for value_ns in values_ns {
            histogram.record(value_ns).expect("in range");
        }
        histogram
    }

    #[test]
    fn the_commit_latency_comes_back_without_its_parts() {
        let commit = histogram((1..5_000).map(|n| n * 997));
        let part = histogram([7, 8, 9]);
        let second = Duration::from_secs(1);
        let intervals: Vec<Histogram<u64>> = (1..4).map(|n| histogram(0..n * 100)).collect();
        let log = to_hlog_with_intervals(&commit, &[("device", &part)], &intervals, second);
        let log = log.expect("encode");
        assert!(log.starts_with(b"#Nanoseconds"));
        assert_eq!(from_hlog(&log).expect("decode"), commit);
        assert_eq!(intervals_from_hlog(&log).expect("decode"), intervals);
        let text = String::from_utf8(log).expect("ASCII");
        assert!(text.contains("\nTag=interval,0.333,0.333,"), "{text}");
        let empty = to_hlog(&histogram([]), &[], second).expect("encode");
        assert_eq!(from_hlog(&empty).expect("decode").len(), 0);
        assert!(intervals_from_hlog(&empty).expect("decode").is_empty());
        assert!(to_hlog(&commit, &[("two words", &part)], second).is_err());
    }

    #[test]
    fn base64_follows_the_test_vectors_of_the_rfc() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Z", "Zg", "Zg=", "Z===", "====", "Zm9-", "Zm 9v", "Zg==Zg=="] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn a_damaged_log_is_an_error_and_never_a_panic() {
        let intervals = [histogram([1_000]), histogram([2_000])];
        let second = Duration::from_secs(1);
        let log = to_hlog_with_intervals(&histogram([1_000, 2_000]), &[], &intervals, second)
            .expect("encode");
        for cut in 0..log.len() {
            // A cut within a comment or before the interval leaves an empty log, which is one.
            if let Ok(found) = from_hlog(&log[..cut]) {
                assert!(found.is_empty() || found.len() == 2, "{cut}");
            }
        }
        for at in 0..log.len() {
            let mut damaged = log.clone();
            damaged[at] ^= 0x15;
            let _ = from_hlog(&damaged);
            let _ = intervals_from_hlog(&damaged);
        }
        assert!(from_hlog(b"no log\n").is_err());
    }
}
