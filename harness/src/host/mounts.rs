//! Which mount a path lies on, from the text of /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The folder of the file system that forms the mount's root.
    pub root: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The mount's options, then the file system's own that are not among them; comma-separated.
    pub options: String,
    /// File system type.
    pub filesystem: String,
    /// Device node, or whatever the file system calls its source.
    pub source: String,
}

impl Mount {
    /// Whether `option` is among the options, exactly.
    pub(crate) fn has_option(&self, option: &str) -> bool {
        self.options.split(',').any(|found| found == option)
    }
}

/// Every well-formed line, in order; others are skipped.
pub(crate) fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(parse_line).collect()
}

/// The mount that holds `path`: the longest mount point that is a parent of it, and of several at
/// the same point the last, which covers the earlier ones.
pub(crate) fn containing<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: the fields
/// before the lone `-` may grow in number, so both sides are read by their own start.
fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point, own_options) = (before.next()?, before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (filesystem, source) = (after.next()?, after.next()?);
    let superblock_options = after.next().unwrap_or("");
    Some(Mount {
        root: decode_octal(root),
        point: PathBuf::from(decode_octal(point)),
        options: merge_options(own_options, superblock_options),
        filesystem: filesystem.to_owned(),
        source: decode_octal(source),
    })
}

fn merge_options(own: &str, superblock: &str) -> String {
    let mut merged: Vec<&str> = own.split(',').filter(|option| !option.is_empty()).collect();
    for option in superblock.split(',') {
        // A read-only mount of a writable file system says "ro" and then "rw": the mount's word
        // is the one that counts.
        let repeats = merged.contains(&option) || option == "rw" || option == "ro";
        if !option.is_empty() && !repeats {
            merged.push(option);
        }
    }
    decode_octal(&merged.join(","))
}

/// Undoes the kernel's escapes: a backslash and three octal digits (`\040` is a space).
fn decode_octal(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'\\').then(|| tail.get(..3).and_then(octal_byte)).flatten();
        decoded.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn octal_byte(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    let all_octal = text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    all_octal.then(|| u8::from_str_radix(text, 8).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = r"22 1 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard,errors=remount-ro
40 27 259:2 /@data /data rw,noatime shared:7 master:2 - btrfs /dev/nvme0n1p2 ro,ssd
41 40 8:1 / /data/with\040space\134x ro,relatime - xfs /dev/disk\040one rw,attr2
42 27 0:50 / /covered rw - tmpfs tmpfs rw
43 27 0:51 / /covered rw - xfs /dev/sdb rw
a broken line
44 27 0:52 - ext4";

    #[test]
    fn the_longest_mount_point_wins() {
        let mounts = parse(MOUNTINFO);
        assert_eq!(mounts.len(), 6);
        let on = |path: &str| containing(&mounts, Path::new(path)).unwrap().filesystem.clone();
        assert_eq!(on("/home/x"), "ext4");
        assert_eq!(on("/data/log"), "btrfs");
        assert_eq!(on("/database"), "ext4", "whole names are compared, not letters");
        assert_eq!(on("/data/with space\\x/log"), "xfs");
        assert_eq!(on("/covered/log"), "xfs", "a later mount covers an earlier one");
        assert_eq!(containing(&mounts, Path::new("relative")), None);
        assert_eq!(containing(&[], Path::new("/")), None);
    }

    #[test]
    fn options_are_the_mounts_then_the_file_systems() {
        let mounts = parse(MOUNTINFO);
        let options = |path: &str| containing(&mounts, Path::new(path)).unwrap().options.clone();
        assert_eq!(options("/"), "rw,relatime,discard,errors=remount-ro");
        assert_eq!(options("/data"), "rw,noatime,ssd");
        assert_eq!(options("/data/with space\\x"), "ro,relatime,attr2");
        assert!(mounts[1].has_option("discard"));
        assert!(!mounts[1].has_option("errors"));
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        assert_eq!(decode_octal(r"a\040b\011c\134d"), "a b\tc\\d");
        assert_eq!(decode_octal(r"\04 \999 \777 \+12 \"), r"\04 \999 \777 \+12 \");
        assert_eq!(decode_octal(r"\303\251t\303\251"), "été");
        assert_eq!(parse(MOUNTINFO)[3].source, "/dev/disk one");
    }
}
