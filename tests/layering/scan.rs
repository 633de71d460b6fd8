//! Reads Rust sources just far enough to know which paths they name: takes them apart into words,
//! leaves comments and literals out, and follows `use` trees and inline paths.

/// A path to something in the workspace, as written somewhere.
#[derive(Debug)]
pub(crate) struct Import {
    /// `crate`, or the name of another crate.
    pub(crate) krate: String,
    /// From the root of that crate.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether the place is compiled for tests only.
    pub(crate) in_test: bool,
}

impl Import {
    pub(crate) fn text(&self) -> String {
        format!("{}::{}", self.krate, self.path.join("::"))
    }
}

/// A name, `::`, or another character. Comments and literals are gone.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Takes a source apart.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let end = match lexeme(&chars, at) {
            Lexeme::Skip(end) => end,
            Lexeme::Token(end) => {
                found.push(Token { text: chars[at..end].iter().collect(), line });
                end
            }
        };
        line += chars[at..end].iter().filter(|&&c| c == '\n').count();
        at = end;
    }
    found
}

/// What begins at a position, and where it ends.
enum Lexeme {
    Skip(usize),
    Token(usize),
}

fn lexeme(chars: &[char], at: usize) -> Lexeme {
    let peek = |ahead: usize| chars.get(at + ahead).copied().unwrap_or('\0');
    match (chars[at], peek(1)) {
        ('/', '/') => Lexeme::Skip(find(chars, at, |i| chars[i] == '\n')),
        ('/', '*') => Lexeme::Skip(block_comment_end(chars, at)),
        ('"', _) => Lexeme::Skip(string_end(chars, at + 1)),
        ('\'', '\\') => Lexeme::Skip(find(chars, at + 3, |i| chars[i] == '\'') + 1),
        ('\'', _) if peek(2) == '\'' => Lexeme::Skip(at + 3),
        (':', ':') => Lexeme::Token(at + 2),
        (c, _) if is_word(c) => {
            let end = find(chars, at, |i| !is_word(chars[i]));
            let word: String = chars[at..end].iter().collect();
            match raw_string_end(chars, &word, end) {
                Some(end) => Lexeme::Skip(end),
                None => Lexeme::Token(end),
            }
        }
        (c, _) if c.is_whitespace() => Lexeme::Skip(at + 1),
        _ => Lexeme::Token(at + 1),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first position from `from` on that fits, or the end.
fn find(chars: &[char], from: usize, fits: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|&i| fits(i)).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Where a raw string ends whose prefix `word` ends at `at`.
fn raw_string_end(chars: &[char], word: &str, at: usize) -> Option<usize> {
    let open = find(chars, at, |i| chars[i] != '#');
    let hashes = open - at;
    if !matches!(word, "r" | "br" | "cr") || chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    Some((find(chars, open + 1, closes) + 1 + hashes).min(chars.len()))
}

/// A pair of braces that is open.
struct Scope {
    module: Option<String>,
    in_test: bool,
}

/// Every path into the workspace, with the place where it is written.
pub(crate) fn imports(tokens: &[Token], module: &[String], in_test: bool) -> Vec<Import> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut scopes: Vec<Scope> = Vec::new();
    // Whether the item that begins next is compiled for tests only.
    let mut next_is_test = false;
    for at in 0..tokens.len() {
        let now_in_test = in_test || next_is_test || scopes.iter().any(|scope| scope.in_test);
        match text(at) {
            "#" if is_test_attribute(tokens, at) => next_is_test = true,
            "{" => {
                let named = at >= 2 && text(at - 2) == "mod";
                let name = named.then(|| text(at - 1).to_owned());
                scopes.push(Scope { module: name, in_test: next_is_test });
                next_is_test = false;
            }
            "}" => drop(scopes.pop()),
            ";" => next_is_test = false,
            // Behind a `::` stands a later part of a path, but for `use ::plimsoll`.
            start @ ("crate" | "self" | "super" | "plimsoll")
                if start == "plimsoll" || at == 0 || text(at - 1) != "::" =>
            {
                let mut place = module.to_vec();
                place.extend(scopes.iter().filter_map(|scope| scope.module.clone()));
                let krate = if start == "plimsoll" { start } else { "crate" };
                let base = match start {
                    "self" => place,
                    "super" => place[..place.len().saturating_sub(1)].to_vec(),
                    _ => Vec::new(),
                };
                let goes_on = text(at + 1) == "::";
                let leaves = match (goes_on, start) {
                    (true, _) => leaves(tokens, at + 2, base).0,
                    (false, "plimsoll") => vec![(base, tokens[at].line)],
                    // The `self` of a method, or the `crate` of a visibility.
                    (false, _) => Vec::new(),
                };
                found.extend(leaves.into_iter().map(|(path, line)| Import {
                    krate: krate.to_owned(),
                    path,
                    line,
                    in_test: now_in_test,
                }));
            }
            _ => {}
        }
    }
    found
}

/// `#[cfg(…test…)]` without a `not`.
pub(crate) fn is_test_attribute(tokens: &[Token], at: usize) -> bool {
    let words = tokens[at..].iter().map(|token| token.text.as_str());
    let words: Vec<&str> = words.take_while(|&word| word != "]").collect();
    words.starts_with(&["#", "[", "cfg", "("]) && words.contains(&"test") && !words.contains(&"not")
}

type Leaves = Vec<(Vec<String>, usize)>;

/// Follows a path, or a tree of them, and returns where each leads and where the tree ends.
fn leaves(tokens: &[Token], mut at: usize, mut path: Vec<String>) -> (Leaves, usize) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    let (inner, end) = leaves(tokens, at, path.clone());
                    found.extend(inner);
                    // An `as name` follows the path, if anything.
                    at = (end..tokens.len()).find(|&i| matches!(text(i), "," | "}")).unwrap_or(end);
                    at += usize::from(text(at) == ",");
                }
                return (found, at + 1);
            }
            "super" => drop(path.pop()),
            "self" => {}
            name if name.starts_with(is_word) => path.push(name.to_owned()),
            _ => break,
        }
        at += 1;
        if text(at) != "::" {
            break;
        }
        at += 1;
    }
    (vec![(path, line)], at)
}
