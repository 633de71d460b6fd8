//! A log's directory as one string of bytes, so that a fuzzer can change names, files and contents
//! alike. Every string of bytes is a directory.

use std::collections::BTreeMap;

use plimsoll::simulated::{DiskOptions, SimulatedDisk};

use crate::reader::Reader;

/// `wal.meta` of format version 1.
pub(crate) const META: &str = "wal.meta";

/// Most files of a directory that came from bytes.
const FILES_MAX: usize = 16;

/// Names and contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    /// By name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Name of the segment with this first LSN.
pub(crate) fn segment_name(first_lsn: u64) -> String {
    format!("wal-{first_lsn:020}.seg")
}

impl Directory {
    /// What is on a disk.
    pub(crate) fn of(disk: &SimulatedDisk) -> Self {
        let names = disk.names().into_iter();
        let files = names.filter_map(|name| disk.read(&name).map(|content| (name, content)));
        Self { files: files.collect() }
    }

    /// A disk with these files.
    pub(crate) fn on_disk(&self) -> SimulatedDisk {
        let disk = SimulatedDisk::new(DiskOptions::default());
        for (name, content) in &self.files {
            disk.write(name, content.clone());
        }
        disk
    }

    /// The segments, oldest first.
    pub(crate) fn segments(&self) -> impl DoubleEndedIterator<Item = (&String, &Vec<u8>)> {
        let is_segment = |name: &str| name.starts_with("wal-") && name.ends_with(".seg");
        self.files.iter().filter(move |(name, _)| is_segment(name))
    }

    /// Bytes of all files.
    pub(crate) fn len_bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// Reads a directory: for each file the kind of its name, the name, a length and the content.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut reader = Reader::new(bytes);
        let mut directory = Self::default();
        while !reader.is_empty() && directory.files.len() < FILES_MAX {
            let name = match reader.u8() {
                0 => META.to_owned(),
                1 => segment_name(reader.u64()),
                _ => {
                    let len = usize::from(reader.u8());
                    String::from_utf8_lossy(reader.take(len)).into_owned()
                }
            };
            let len = usize::try_from(reader.u32()).unwrap_or(usize::MAX);
            directory.files.insert(name, reader.take(len).to_vec());
        }
        directory
    }

    /// The bytes that [`Self::from_bytes`] reads this from.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in &self.files {
            let number = name.strip_prefix("wal-").and_then(|rest| rest.strip_suffix(".seg"));
            match number.and_then(|digits| digits.parse::<u64>().ok()) {
                _ if name == META => bytes.push(0),
                Some(first_lsn) => {
                    bytes.push(1);
                    bytes.extend(first_lsn.to_le_bytes());
                }
                None => {
                    bytes.extend([2, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
                    bytes.extend(name.bytes());
                }
            }
            bytes.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(content);
        }
        bytes
    }
}
