//! Which records a reader hands out, by what their headers say.

use std::{
    collections::BTreeSet,
    ops::{Bound, RangeBounds},
};

use crate::{format::FrameHeader, lsn::Lsn, record::RecordKind};

/// Which records a replay is wanted for: by kind, tenant, vshard and database, each a set or any,
/// and by LSN. A record is selected if all of them agree.
///
/// ```
/// use plimsoll::{Lsn, RecordFilter, RecordKind};
/// let filter = RecordFilter::all()
///     .kinds([RecordKind::PUT, RecordKind::DELETE])
///     .tenants([7])
///     .lsns(Lsn::new(1000)..=Lsn::new(2000));
/// assert_ne!(filter, RecordFilter::all());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    kinds: Option<BTreeSet<RecordKind>>,
    tenants: Option<BTreeSet<u64>>,
    vshards: Option<BTreeSet<u32>>,
    databases: Option<BTreeSet<u64>>,
    from: Lsn,
    /// Last LSN, [`None`] for the end of the log.
    to: Option<Lsn>,
}

impl RecordFilter {
    /// Every record.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these kinds. Who says so knows what is left out: a *required* kind that is not among
    /// them is passed over, known to the program or not.
    #[must_use]
    pub fn kinds(self, kinds: impl IntoIterator<Item = RecordKind>) -> Self {
        Self { kinds: Some(kinds.into_iter().collect()), ..self }
    }

    /// Only these tenants.
    #[must_use]
    pub fn tenants(self, tenants: impl IntoIterator<Item = u64>) -> Self {
        Self { tenants: Some(tenants.into_iter().collect()), ..self }
    }

    /// Only these virtual shards.
    #[must_use]
    pub fn vshards(self, vshards: impl IntoIterator<Item = u32>) -> Self {
        Self { vshards: Some(vshards.into_iter().collect()), ..self }
    }

    /// Only these databases.
    #[must_use]
    pub fn databases(self, databases: impl IntoIterator<Item = u64>) -> Self {
        Self { databases: Some(databases.into_iter().collect()), ..self }
    }

    /// Only these LSNs. Reading ends with the last of them.
    #[must_use]
    pub fn lsns(self, range: impl RangeBounds<Lsn>) -> Self {
        let from = match range.start_bound() {
            Bound::Included(&lsn) => lsn,
            Bound::Excluded(lsn) => lsn.next(),
            Bound::Unbounded => Lsn::NONE,
        };
        let to = match range.end_bound() {
            Bound::Included(&lsn) => Some(lsn),
            Bound::Excluded(lsn) => Some(lsn.previous()),
            Bound::Unbounded => None,
        };
        Self { from, to, ..self }
    }

    /// First LSN that may be selected, [`Lsn::NONE`] for the oldest.
    pub(super) fn from(&self) -> Lsn {
        self.from
    }

    /// Whether `lsn` and all behind it are out.
    pub(super) fn ends_before(&self, lsn: Lsn) -> bool {
        self.to.is_some_and(|to| lsn > to)
    }

    /// Whether a record's ids have a say.
    pub(super) fn looks_at_ids(&self) -> bool {
        let Self { kinds, tenants, vshards, databases, .. } = self;
        kinds.is_some() || tenants.is_some() || vshards.is_some() || databases.is_some()
    }

    /// Whether records of this kind are wanted, whatever else they are.
    pub(super) fn wants_kind(&self, kind: RecordKind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    pub(super) fn selects(&self, header: &FrameHeader) -> bool {
        fn agrees<T: Ord>(set: Option<&BTreeSet<T>>, value: &T) -> bool {
            set.is_none_or(|set| set.contains(value))
        }
        self.wants_kind(header.kind)
            && agrees(self.tenants.as_ref(), &header.tenant)
            && agrees(self.vshards.as_ref(), &header.vshard)
            && agrees(self.databases.as_ref(), &header.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: RecordKind, tenant: u64, vshard: u32, database: u64) -> FrameHeader {
        FrameHeader { payload_bytes: 0, lsn: Lsn::FIRST, kind, vshard, tenant, database }
    }

    #[test]
    fn each_id_has_a_say_of_its_own() {
        let filter = RecordFilter::all()
            .kinds([RecordKind::PUT])
            .tenants([1, 2])
            .vshards([3])
            .databases([4]);
        assert!(filter.selects(&header(RecordKind::PUT, 2, 3, 4)));
        assert!(!filter.selects(&header(RecordKind::DELETE, 2, 3, 4)));
        assert!(!filter.selects(&header(RecordKind::PUT, 3, 3, 4)));
        assert!(!filter.selects(&header(RecordKind::PUT, 2, 4, 4)));
        assert!(!filter.selects(&header(RecordKind::PUT, 2, 3, 3)));
        assert!(!RecordFilter::all().tenants([]).selects(&header(RecordKind::PUT, 0, 0, 0)));
        assert!(RecordFilter::all().selects(&header(RecordKind::NOOP, 9, 9, 9)));
    }

    #[test]
    fn every_way_to_write_a_range_means_what_it_says() {
        let [two, five, six] = [2, 5, 6].map(Lsn::new);
        let ends = |filter: &RecordFilter| (filter.ends_before(five), filter.ends_before(six));
        let closed = RecordFilter::all().lsns(two..=five);
        assert_eq!((closed.from(), ends(&closed)), (two, (false, true)));
        let half_open = RecordFilter::all().lsns(two..five);
        assert_eq!((half_open.from(), ends(&half_open)), (two, (true, true)));
        let open = RecordFilter::all().lsns(two..);
        assert_eq!((open.from(), ends(&open)), (two, (false, false)));
        let whole = RecordFilter::all().lsns(..);
        assert_eq!((whole.from(), ends(&whole)), (Lsn::NONE, (false, false)));
        assert!(RecordFilter::all().lsns(..Lsn::NONE).ends_before(Lsn::FIRST));
    }
}
