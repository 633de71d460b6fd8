//! The profile's text as tables that know where they stand, so that whatever is found wrong with
//! one can be reported with its line, column and full name.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::profile::error::{Problem, ProfileError};
use crate::profile::source::Source;
use crate::profile::value::Value;

/// A table of the document, its entries in the order they are written.
pub(super) struct Section<'d> {
    source: &'d Source<'d>,
    name: String,
    offset: usize,
    entries: Vec<(&'d str, Value<'d>)>,
}

impl<'d> Section<'d> {
    /// The document itself.
    pub(super) fn root(source: &'d Source<'d>, document: &'d Spanned<DeTable<'d>>) -> Self {
        Self::new(source, String::new(), 0, document.get_ref())
    }

    fn new(source: &'d Source<'d>, name: String, offset: usize, table: &'d DeTable<'d>) -> Self {
        let mut keyed: Vec<_> = table.iter().collect();
        // The parser keeps keys alphabetically, but the order of the axes is part of the plan.
        keyed.sort_by_key(|(key, _)| key.span().start);
        let entries = keyed
            .into_iter()
            .map(|(key, node)| {
                let value = Value {
                    source,
                    field: join(&name, key.get_ref()),
                    key_offset: key.span().start,
                    node,
                };
                (key.get_ref().as_ref(), value)
            })
            .collect();
        Self { source, name, offset, entries }
    }

    /// Entries in the order they are written.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, &Value<'d>)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }

    /// Refuses any key that is not one of `known`.
    pub(super) fn expect_only(&self, known: &[&'static str]) -> Result<(), ProfileError> {
        for (key, value) in self.entries() {
            if !known.contains(&key) {
                let problem = Problem::UnknownKey { nearest: nearest(key, known) };
                let offset = value.key_offset;
                return Err(self.source.error(offset, &value.field, problem, &known.join(", ")));
            }
        }
        Ok(())
    }

    pub(super) fn optional(&self, key: &str) -> Option<&Value<'d>> {
        self.entries().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The value of `key`, or an error that says what it may be.
    pub(super) fn required(&self, key: &str, allowed: &str) -> Result<&Value<'d>, ProfileError> {
        self.optional(key).ok_or_else(|| {
            let field = join(&self.name, key);
            self.source.error(self.offset, &field, Problem::Missing, allowed)
        })
    }

    /// The section called `key`, if it is there.
    pub(super) fn section(&self, key: &str) -> Result<Option<Section<'d>>, ProfileError> {
        let Some(value) = self.optional(key) else {
            return Ok(None);
        };
        match value.node.get_ref() {
            DeValue::Table(table) => {
                let offset = value.node.span().start;
                Ok(Some(Section::new(self.source, value.field.clone(), offset, table)))
            }
            _ => Err(value.wrong_type(&format!("a [{}] section", value.field))),
        }
    }

    /// An error about the section as a whole.
    pub(super) fn error(&self, problem: Problem, allowed: &str) -> ProfileError {
        self.source.error(self.offset, &self.name, problem, allowed)
    }
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_string() } else { format!("{section}.{key}") }
}

/// The known key that `key` was probably meant to be: at most a third of it differs.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    // Longer than any known key by more than the tolerance; also bounds the work.
    if key.len() > 64 {
        return None;
    }
    let (name, distance) = known
        .iter()
        .map(|name| (*name, edit_distance(key, name)))
        .min_by_key(|(_, distance)| *distance)?;
    (distance <= (name.len() / 3).max(1)).then_some(name)
}

/// Levenshtein distance, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("clients", "client", 1),
            ("engine", "engine", 0),
            ("µs", "us", 1),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
            assert_eq!(edit_distance(b, a), distance, "{b} {a}");
        }
    }

    #[test]
    fn only_a_near_key_is_suggested() {
        let known = ["engine", "buffer_size", "clients"];
        assert_eq!(nearest("enigne", &known), Some("engine"));
        assert_eq!(nearest("buffer-size", &known), Some("buffer_size"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest(&"e".repeat(100_000), &known), None);
    }
}
