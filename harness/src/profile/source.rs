//! The profile's text, and where in it something stands, for messages.

use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use crate::profile::error::{Position, Problem, ProfileError};

/// Name of the field when the file as a whole is meant.
pub(super) const WHOLE_FILE: &str = "profile";

/// The text being read and the name to call it by in messages.
pub(super) struct Source<'d> {
    pub(super) path: &'d Path,
    pub(super) text: &'d str,
}

impl<'d> Source<'d> {
    /// The document, or its first syntax error. The TOML parser reports a key given twice as one.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'d>>, ProfileError> {
        DeTable::parse(self.text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let problem = Problem::Syntax { message: error.message().replace('\n', ", ") };
            let allowed = "TOML: `key = value` lines, each key once, below `[section]` lines";
            self.error(offset, &self.field_near(offset), problem, allowed)
        })
    }

    /// An error at a byte offset of the text.
    pub(super) fn error(
        &self,
        offset: usize,
        field: &str,
        problem: Problem,
        allowed: &str,
    ) -> ProfileError {
        ProfileError {
            path: self.path.to_path_buf(),
            position: Some(self.position(offset)),
            field: field.to_string(),
            problem,
            allowed: allowed.to_string(),
        }
    }

    fn position(&self, offset: usize) -> Position {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: one_based(before.matches('\n').count()),
            column: one_based(before[line_start..].chars().count()),
        }
    }

    /// Best guess at the field a syntax error is in: there is no document to ask, so it is read off
    /// the last section line and the key in front of the last `=`.
    fn field_near(&self, offset: usize) -> String {
        let end = self.text.floor_char_boundary(offset);
        let line_end = self.text[end..].find('\n').map_or(self.text.len(), |i| end + i);
        let mut section = "";
        let mut key = "";
        for line in self.text[..line_end].lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                (section, key) = (header.split(']').next().unwrap_or_default(), "");
            } else if let Some((name, _)) = line.split_once('=') {
                key = name.trim();
            }
        }
        let is_plain = |name: &&str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
            !name.is_empty() && name.bytes().all(plain)
        };
        let parts: Vec<&str> = [section, key].into_iter().filter(is_plain).collect();
        if parts.is_empty() { WHOLE_FILE.to_string() } else { parts.join(".") }
    }
}

/// A position for people. A profile has at most a megabyte, so it never saturates.
fn one_based(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_survive_any_offset() {
        let source = Source { path: Path::new("p"), text: "é = 1\nµs = 2\n" };
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(1), Position { line: 1, column: 1 });
        let second_line = "é = 1\n".len();
        assert_eq!(source.position(second_line + "µs".len()), Position { line: 2, column: 3 });
        assert_eq!(source.position(usize::MAX), Position { line: 3, column: 1 });
    }
}
