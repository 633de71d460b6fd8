//! Words for what is found in a log, the same in every verb.

use std::fmt::Write;

use jiff::Timestamp;
use plimsoll::RecordKind;
use plimsoll::inspect::Standing;

/// Bytes of a payload that its start is.
pub(super) const START_BYTES: usize = 32;

/// A kind's name, or its number.
pub(super) fn kind_name(kind: RecordKind) -> String {
    match kind {
        RecordKind::NOOP => "NOOP".to_owned(),
        RecordKind::PUT => "PUT".to_owned(),
        RecordKind::DELETE => "DELETE".to_owned(),
        RecordKind::CHECKPOINT => "CHECKPOINT".to_owned(),
        other => format!("{:#06x}", other.get()),
    }
}

/// As programs read it.
pub(super) fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::InLog => "in_log",
        Standing::Unreached => "unreached",
        Standing::BeyondEnd => "beyond_end",
        Standing::Repeated => "repeated",
        _ => "other",
    }
}

/// What stands behind a batch that is not part of the log as a replay sees it; nothing for others.
pub(super) fn standing_note(standing: Standing) -> &'static str {
    match standing {
        Standing::InLog => "",
        Standing::Unreached => "  NOT REACHED by a replay",
        Standing::BeyondEnd => "  NOT OF THE LOG: the next segment begins before it",
        Standing::Repeated => "  MISPLACED: its LSNs came before",
        _ => "  NOT OF THE LOG",
    }
}

/// A count with its noun, in the singular or the plural.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = match (count, noun) {
        (1, _) => noun.to_owned(),
        (_, "batch") => "batches".to_owned(),
        _ => format!("{noun}s"),
    };
    format!("{count} {plural}")
}

/// A moment, nanoseconds since 1970.
pub(super) fn moment(unix_ns: u64) -> String {
    let moment = Timestamp::from_nanosecond(i128::from(unix_ns));
    moment.map_or_else(|_| format!("{unix_ns} ns after 1970"), |moment| format!("{moment:.3}"))
}

/// Bytes as digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes in quotation marks, with what cannot be printed escaped.
pub(super) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_log_is_printed_safely() {
        assert_eq!(quoted(b"a\"\x1b[31m\n\xff"), "\"a\\\"\\x1b[31m\\n\\xff\"");
        assert_eq!(hex(&[0, 0xab]), "00ab");
        assert_eq!(kind_name(RecordKind::PUT), "PUT");
        assert_eq!(kind_name(RecordKind::new(5)), "0x0005");
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert!(moment(u64::MAX).starts_with("2554-07-21T"), "{}", moment(u64::MAX));
        assert_eq!(
            (counted(1, "batch"), counted(2, "batch")),
            ("1 batch".into(), "2 batches".into())
        );
    }
}
