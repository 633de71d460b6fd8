//! What `plimsoll completions` and `plimsoll man` may be told.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

pub(super) const COMPLETIONS_LONG: &str = "\
Prints the completions of verbs and options for a shell. They are of this very program: after an \
update, make them again.";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(plimsoll completions bash)
  plimsoll completions bash > ~/.local/share/bash-completion/completions/plimsoll
  plimsoll completions zsh > ~/.zfunc/_plimsoll
  plimsoll completions fish > ~/.config/fish/completions/plimsoll.fish";

pub(super) const MAN_LONG: &str = "\
Prints the manual page of the program or of one verb, or writes all of them to a directory.";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  plimsoll man | man -l -
  plimsoll man sweep | man -l -
  plimsoll man --out ~/.local/share/man/man1";

/// Arguments of `plimsoll completions`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `plimsoll man`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ManArgs {
    /// The verb whose page is printed; the program's own when absent
    #[arg(value_name = "VERB", conflicts_with = "out")]
    pub verb: Option<String>,

    /// Write every page to this directory, which is created when missing
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::super::{Verb, tests::parse};
    use super::*;

    #[test]
    fn completions_and_man_take_every_option() {
        let Verb::Completions(asked) = parse(&["completions", "zsh"]).unwrap().verb else {
            panic!("no completions");
        };
        assert_eq!(asked.shell, Shell::Zsh);
        let Verb::Man(asked) = parse(&["man", "--out", "d"]).unwrap().verb else {
            panic!("not man");
        };
        assert_eq!((asked.verb, asked.out.as_deref()), (None, Some(Path::new("d"))));
        for wrong in [&["completions"][..], &["completions", "csh"], &["man", "a", "--out", "d"]] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
