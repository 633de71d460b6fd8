//! The names of files in a log directory. They are built and understood here and nowhere else.

use crate::lsn::Lsn;

/// Digits of an LSN in a name: all of a `u64`, so that names sort like positions.
const LSN_DIGITS: usize = 20;

pub(super) const META_NAME: &str = "wal.meta";

/// Name of the segment whose first record is `first_lsn`.
pub(crate) fn segment_name(first_lsn: Lsn) -> String {
    format!("wal-{first_lsn:0LSN_DIGITS$}.seg")
}

/// First LSN of the segment with this name; `None` if it is no segment's.
pub(crate) fn segment_first_lsn(name: &str) -> Option<Lsn> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".seg")?;
    if digits.len() != LSN_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Lsn::new)
}

/// Whether a name claims to be a segment's, rightly or not.
pub(super) fn looks_like_segment(name: &str) -> bool {
    name.starts_with("wal-") && name.ends_with(".seg")
}

/// What a file is to a log, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedRole {
    Segment(Lsn),
    /// Claims to be a segment, and is none: no log with it is opened.
    Misnamed,
    Meta,
    MetaReplacement,
    Spare,
    Unfinished,
    Retired,
    Lease,
    Other,
}

/// The role of the file with this name.
pub(crate) fn role_of(name: &str) -> NamedRole {
    match segment_first_lsn(name) {
        Some(first_lsn) if first_lsn != Lsn::NONE => return NamedRole::Segment(first_lsn),
        Some(_) | None if looks_like_segment(name) => return NamedRole::Misnamed,
        _ => {}
    }
    if name == META_NAME {
        NamedRole::Meta
    } else if name.strip_suffix(".tmp") == Some(META_NAME) {
        NamedRole::MetaReplacement
    } else if parse_spare_name(name).is_some() {
        NamedRole::Spare
    } else if is_leftover(name) {
        if name.starts_with("retired-") { NamedRole::Retired } else { NamedRole::Unfinished }
    } else if parse_lease_file_name(name).is_some() {
        NamedRole::Lease
    } else {
        NamedRole::Other
    }
}

/// Name of the file of a consumer's lease.
pub(super) fn lease_file_name(consumer: &str) -> String {
    format!("lease-{consumer}.meta")
}

/// The consumer whose lease a file with this name claims to be, whether a consumer may have that
/// name or not; `None` if it is no lease's.
pub(super) fn parse_lease_file_name(name: &str) -> Option<&str> {
    name.strip_prefix("lease-")?.strip_suffix(".meta")
}

/// What the blocks of a spare file have been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpareState {
    /// Nothing: the file is empty and will grow.
    Empty,
    /// Space is reserved.
    Allocated,
    /// Every block has been written.
    Written,
}

impl SpareState {
    const ALL: [Self; 3] = [Self::Empty, Self::Allocated, Self::Written];

    fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Allocated => "allocated",
            Self::Written => "written",
        }
    }
}

/// Name of a file that is ready to become a segment. Only complete ones carry it.
pub(super) fn spare_name(state: SpareState, number: u64) -> String {
    format!("spare-{}-{number:08}.seg", state.word())
}

/// State and number of the spare with this name.
pub(super) fn parse_spare_name(name: &str) -> Option<(SpareState, u64)> {
    let rest = name.strip_prefix("spare-")?.strip_suffix(".seg")?;
    let (word, digits) = rest.split_once('-')?;
    let state = SpareState::ALL.into_iter().find(|state| state.word() == word)?;
    Some((state, digits.parse().ok()?))
}

/// Name of a file that is being prepared.
pub(super) fn unfinished_name(number: u64) -> String {
    format!("unfinished-{number:08}.tmp")
}

/// Name of a truncated segment that waits to be recycled or deleted.
pub(super) fn retired_name(first_lsn: Lsn) -> String {
    format!("retired-{first_lsn:0LSN_DIGITS$}.tmp")
}

/// Whether a file is the left-over of an interrupted preparation or truncation.
pub(super) fn is_leftover(name: &str) -> bool {
    (name.starts_with("unfinished-") || name.starts_with("retired-")) && name.ends_with(".tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_like_positions_and_parse_back() {
        let (low, high) = (segment_name(Lsn::new(9)), segment_name(Lsn::new(10)));
        assert_eq!(low, "wal-00000000000000000009.seg");
        assert!(low < high);
        assert_eq!(segment_first_lsn(&high), Some(Lsn::new(10)));
        assert_eq!(segment_first_lsn(&segment_name(Lsn::new(u64::MAX))), Some(Lsn::new(u64::MAX)));
    }

    #[test]
    fn what_is_no_name_of_ours_is_not_understood() {
        for name in [
            "wal-1.seg",
            "wal-000000000000000000001.seg",
            "wal-0000000000000000000x.seg",
            "wal-99999999999999999999.seg",
            "wal-+0000000000000000001.seg",
            "wal.meta",
        ] {
            assert_eq!(segment_first_lsn(name), None, "{name}");
        }
        assert!(looks_like_segment("wal-1.seg"));
    }

    #[test]
    fn spares_and_leftovers_are_told_apart() {
        let spare = spare_name(SpareState::Written, 7);
        assert_eq!(parse_spare_name(&spare), Some((SpareState::Written, 7)));
        assert!(!is_leftover(&spare));
        assert!(is_leftover(&unfinished_name(7)) && is_leftover(&retired_name(Lsn::new(3))));
        for (name, role) in [
            (&*spare, NamedRole::Spare),
            (&*unfinished_name(7), NamedRole::Unfinished),
            (&*retired_name(Lsn::new(3)), NamedRole::Retired),
            (&*segment_name(Lsn::new(3)), NamedRole::Segment(Lsn::new(3))),
            (&*segment_name(Lsn::NONE), NamedRole::Misnamed),
            ("wal-1.seg", NamedRole::Misnamed),
            ("wal.meta", NamedRole::Meta),
            ("wal.meta.tmp", NamedRole::MetaReplacement),
            (&*lease_file_name("backup"), NamedRole::Lease),
            ("notes.txt", NamedRole::Other),
        ] {
            assert_eq!(role_of(name), role, "{name}");
        }
    }
}
