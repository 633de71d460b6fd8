//! Looking into a log without opening it: which files there are and what they say of themselves,
//! every piece of every segment, and the verdict that an opening would come to. Takes no lock, writes
//! nothing, works beside a live writer, and needs keys only for what is sealed.
//!
//! ```no_run
//! # fn main() -> Result<(), plimsoll::WalError> {
//! use plimsoll::inspect::{LogFiles, Piece};
//!
//! let log = LogFiles::open("/var/lib/db/wal")?;
//! for segment in log.segments() {
//!     println!("{}: {} bytes", segment.path.display(), segment.len_bytes);
//!     let Ok(mut survey) = log.survey(segment, None)? else { continue };
//!     while let Some(piece) = survey.next_piece()? {
//!         println!("  {:10} {piece:?}", piece.offset_bytes());
//!         if let Piece::Batch(_) = piece {
//!             while let Some(record) = survey.next_record()? {
//!                 println!("    {} {:?}", record.lsn, record.kind);
//!             }
//!         }
//!     }
//! }
//! println!("{:?}", log.examine(None).finding);
//! # Ok(()) }
//! ```

mod examine;
mod facts;
pub mod layout;

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

pub use examine::{Examined, Finding};
pub use facts::{FileRole, HeaderFacts, HeaderTrouble, MetaFacts, OtherFile, SegmentFile};

pub use crate::replay::{
    BatchPiece, Damage, FrameDamage, Piece, SegmentSurvey, Standing, SurveyedPayload,
    SurveyedRecord,
};

#[cfg(feature = "simulated")]
use crate::device::simulated::{SimulatedDirectory, SimulatedDisk};
use crate::{
    crypto::KeyRing,
    device::LogDirectory,
    error::{Result, WalError},
    lsn::Lsn,
    replay::{Successor, Surroundings, seed_without_header},
    segment::{NamedRole, SegmentContext, read_header, read_meta, role_of},
};

/// Looks at a directory while its files change, until one look has seen all of one moment.
const LOOKS: usize = 20;

/// The files of a log's directory, as they were at one moment.
#[derive(Debug)]
pub struct LogFiles {
    directory: LogDirectory,
    meta: Result<Option<MetaFacts>>,
    segments: Vec<SegmentFile>,
    others: Vec<OtherFile>,
    writer_at_work: bool,
}

impl LogFiles {
    /// Looks at a directory: names, sizes, `wal.meta`, and the header of each segment.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] if the directory cannot be listed. What is wrong with a file is no error here,
    /// but said of the file.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::look(LogDirectory::open(dir.as_ref())?)
    }

    /// [`Self::open`] on any kind of disk.
    pub(crate) fn look(directory: LogDirectory) -> Result<Self> {
        for looks_left in (0..LOOKS).rev() {
            let floor = |meta: &Result<Option<MetaFacts>>| {
                meta.as_ref().ok().copied().flatten().map(|meta| meta.retention_floor)
            };
            let before = meta_of(&directory);
            let Some((segments, others)) = files_of(&directory, looks_left == 0)? else { continue };
            let meta = meta_of(&directory);
            // A truncation between the looks may have taken any of several segments away.
            if looks_left > 0 && floor(&before) != floor(&meta) {
                continue;
            }
            let writer_at_work = directory.has_writer()?;
            return Ok(Self { directory, meta, segments, others, writer_at_work });
        }
        unreachable!("the last look takes what there is")
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What `wal.meta` says, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`WalError::MetaDamaged`], [`WalError::UnsupportedVersion`], or [`WalError::Io`].
    pub fn meta(&self) -> Result<Option<MetaFacts>> {
        self.meta.clone()
    }

    /// The segments by name, oldest first, those of a truncation that was not finished included.
    #[must_use]
    pub fn segments(&self) -> &[SegmentFile] {
        &self.segments
    }

    /// All other files, by name.
    #[must_use]
    pub fn others(&self) -> &[OtherFile] {
        &self.others
    }

    /// Whether a writer had the log open. One in another mount namespace counts as well.
    #[must_use]
    pub fn writer_at_work(&self) -> bool {
        self.writer_at_work
    }

    /// Whether a segment lies before the one that holds the floor: the log has given it up, and its
    /// truncation was interrupted or is under way.
    #[must_use]
    pub fn is_below_floor(&self, segment: &SegmentFile) -> bool {
        let Ok(Some(meta)) = &self.meta else { return false };
        let mut later = self.segments.iter().filter(|later| later.first_lsn > segment.first_lsn);
        later.any(|later| later.first_lsn <= meta.retention_floor)
    }

    /// Goes through one segment. Without keys the payloads of sealed records stay sealed.
    ///
    /// Beside a live writer the end of the newest segment is [`Piece::AheadOfWriter`], and a segment
    /// that is truncated meanwhile is [`WalError::Truncated`], not damage.
    ///
    /// The inner error says why a segment cannot be gone through at all.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] or [`WalError::Read`]; with keys also [`WalError::KeyMissing`],
    /// [`WalError::WrongKey`], [`WalError::Tampered`] for the header, and [`WalError::NotEncrypted`].
    pub fn survey(
        &self,
        segment: &SegmentFile,
        keys: Option<&KeyRing>,
    ) -> Result<std::result::Result<SegmentSurvey, HeaderTrouble>> {
        let header = match &segment.decoded {
            Ok(header) => header,
            Err(trouble) => return Ok(Err(trouble.clone())),
        };
        let path = &segment.path;
        let opening =
            keys.map(|keys| SegmentContext::from_header(header, path, Some(keys))).transpose()?;
        let raw = SegmentContext::from_header(header, path, Some(&KeyRing::leaving_sealed()))?;
        let file = self.reopen(segment)?;
        Ok(Ok(SegmentSurvey::new(file, raw, opening, self.surroundings(segment)?)?))
    }

    /// Goes through a segment whose header cannot be read, by the seed that its batches name, beginning
    /// with the LSN in its name. Whether its records are `sealed` only the rest of the log can tell, and
    /// sealed ones stay so: their key came from the header. `None` if no batch is left.
    ///
    /// Nothing but checksums tells that the batches are of this log.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] or [`WalError::Read`].
    pub fn survey_without_header(
        &self,
        segment: &SegmentFile,
        sealed: bool,
    ) -> Result<Option<SegmentSurvey>> {
        let first_lsn = segment.first_lsn;
        let found = seed_without_header(self.reopen(segment)?, first_lsn)?;
        let Some((seed, block_bytes)) = found else { return Ok(None) };
        let context = SegmentContext::without_header(seed, first_lsn, block_bytes, sealed);
        let file = self.reopen(segment)?;
        Ok(Some(SegmentSurvey::new(file, context, None, self.surroundings(segment)?)?))
    }

    fn reopen(&self, segment: &SegmentFile) -> Result<crate::device::SegmentFile> {
        let opened = self.directory.open_for_read(segment.path.clone());
        opened.map_err(|error| self.explain(segment, WalError::io("open", &segment.path)(error)))
    }

    fn surroundings(&self, segment: &SegmentFile) -> Result<Surroundings> {
        let successor = self.successor_of(segment);
        Ok(Surroundings {
            growing: successor.is_none() && self.directory.has_writer()?,
            directory: self.directory.clone(),
            floor: self.meta.as_ref().ok().copied().flatten().map(|meta| meta.retention_floor),
            successor,
        })
    }

    /// Decides about the log as an opening would, with every byte read. Beside a live writer, which
    /// only that writer could tell the end from, it reads as a reader does, up to where it finds it.
    ///
    /// Without keys every checksum of a sealed log is verified and no authentication tag:
    /// [`Examined::tags_unchecked`].
    #[must_use]
    pub fn examine(&self, keys: Option<&KeyRing>) -> Examined {
        examine::examine(&self.directory, keys)
    }

    /// A file gets a segment's name once everything before it is durable, whatever becomes of its
    /// header.
    fn successor_of(&self, segment: &SegmentFile) -> Option<Successor> {
        let next = self.segments.iter().find(|next| next.first_lsn > segment.first_lsn)?;
        let names = next.decoded.as_ref().ok().map(|header| header.predecessor.checksum);
        Some(Successor { first_lsn: next.first_lsn, names_checksum: names })
    }

    /// A file that is gone may have been truncated meanwhile.
    fn explain(&self, segment: &SegmentFile, error: WalError) -> WalError {
        match meta_of(&self.directory) {
            Ok(Some(meta)) if meta.retention_floor > segment.first_lsn => {
                WalError::Truncated { requested: segment.first_lsn, floor: meta.retention_floor }
            }
            _ => error,
        }
    }
}

/// [`LogFiles::open`] for the log on a simulated disk.
///
/// # Errors
///
/// As [`LogFiles::open`].
#[cfg(feature = "simulated")]
pub fn look_into(disk: &SimulatedDisk) -> Result<LogFiles> {
    LogFiles::look(LogDirectory::simulated(SimulatedDirectory::open(disk), "simulated".into()))
}

fn meta_of(directory: &LogDirectory) -> Result<Option<MetaFacts>> {
    Ok(read_meta(directory)?.as_ref().map(MetaFacts::from))
}

/// Segments and other files. `None` if one was gone that was listed a moment ago, unless it is to be
/// left out.
fn files_of(
    directory: &LogDirectory,
    leave_out: bool,
) -> Result<Option<(Vec<SegmentFile>, Vec<OtherFile>)>> {
    let (mut segments, mut others) = (Vec::new(), Vec::new());
    let mut names = directory.names()?;
    names.sort_unstable();
    for name in names {
        let path = directory.join(&name);
        let role = role_of(&name);
        let looked = match role {
            NamedRole::Segment(first_lsn) => segment_file(directory, path, first_lsn)
                .map(|segment| segment.map(|segment| segments.push(segment))),
            _ => other_file(directory, &name, path, role)
                .map(|other| other.map(|other| others.extend(other))),
        };
        // Other files come and go with the log's background work, and nothing hangs on them.
        let gone = looked?.is_none() && matches!(role, NamedRole::Segment(_));
        if gone && !leave_out {
            return Ok(None);
        }
    }
    Ok(Some((segments, others)))
}

/// `None` if it is gone.
fn segment_file(
    directory: &LogDirectory,
    path: PathBuf,
    first_lsn: Lsn,
) -> Result<Option<SegmentFile>> {
    let file = match directory.open_for_read(path.clone()) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let decoded = Err(HeaderTrouble::Unreadable(WalError::io("open", &path)(error)));
            let len_bytes = directory.file_len(&path).unwrap_or(0);
            return Ok(Some(SegmentFile { path, first_lsn, len_bytes, decoded }));
        }
    };
    let len_bytes = file.len().map_err(WalError::io("examine", &path))?;
    let decoded = match read_header(&file) {
        Ok(header) => header.map_err(HeaderTrouble::from),
        Err(error) => Err(HeaderTrouble::Unreadable(error)),
    };
    Ok(Some(SegmentFile { path, first_lsn, len_bytes, decoded }))
}

/// `None` if it is gone; an empty answer for a directory.
fn other_file(
    directory: &LogDirectory,
    name: &str,
    path: PathBuf,
    role: NamedRole,
) -> Result<Option<Option<OtherFile>>> {
    match directory.file_len(&path) {
        Ok(len_bytes) => {
            let role = FileRole::of(role, path == directory.lock_path());
            Ok(Some(Some(OtherFile { path, len_bytes, role })))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(WalError::io("examine", directory.join(name))(error)),
    }
}
