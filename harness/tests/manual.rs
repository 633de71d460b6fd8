//! Completions and manual pages in the hands of those that read them: bash, and man. Where one is
//! missing, its test says so.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]

use std::process::{Command, Output};

fn plimsoll(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(words).output().expect("it starts")
}

/// What a tool prints, `None` where it is not installed.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).env("MANWIDTH", "100").env("LC_ALL", "C").output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: no {program}: {error}");
            None
        }
    }
}

#[test]
fn bash_completes_verbs_and_options() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let script = dir.path().join("plimsoll.bash");
    let completions = plimsoll(&["completions", "bash"]);
    assert!(completions.status.success());
    std::fs::write(&script, completions.stdout).expect("written");
    for (typed, completed) in [
        ("comp", "compare completions"),
        ("__", ""),
        ("report --qu", "--quiet"),
        ("torture --js", "--json"),
    ] {
        let words: Vec<&str> = typed.split(' ').collect();
        let (last, before) = words.split_last().expect("a word");
        let previous = before.last().unwrap_or(&"plimsoll");
        let ask = format!(
            "source {}; COMP_WORDS=(plimsoll {typed}); COMP_CWORD={}; _plimsoll plimsoll '{last}' \
             '{previous}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.len()
        );
        let Some(answer) = run("bash", &["-c", &ask]) else { return };
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout).trim(),
            completed,
            "{typed}: {answer:?}"
        );
    }
}

#[test]
fn man_renders_every_page_without_a_warning() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let pages = plimsoll(&["man", "--out", dir.path().to_str().expect("UTF-8")]);
    assert!(pages.status.success(), "{pages:?}");
    let paths = String::from_utf8(pages.stdout).expect("UTF-8");
    assert!(paths.lines().count() > 8, "{paths}");
    for path in paths.lines() {
        let Some(page) = run("man", &["--warnings", "-l", path]) else { return };
        let text = String::from_utf8_lossy(&page.stdout);
        assert!(page.status.success() && page.stderr.is_empty(), "{path}: {page:?}");
        assert!(text.contains("SYNOPSIS") && text.contains("EXAMPLES") || path.ends_with("soll.1"));
    }
    let unknown = plimsoll(&["man", "sweap"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}
