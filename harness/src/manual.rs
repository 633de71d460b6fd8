//! `plimsoll completions` and `plimsoll man`: what the command line's definition says, in the forms
//! that shells and `man` read. Made from the definition itself, so that neither can lag behind it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::{Cli, CompletionsArgs, ManArgs};

/// The script that teaches a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> String {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut for_people(), "plimsoll", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The definition without the verbs that the program runs itself as: some of what is made of it
/// would show them, hidden or not.
fn for_people() -> Command {
    let program = Cli::command();
    let mut shown = Command::new("plimsoll");
    if let Some(about) = program.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(about) = program.get_long_about() {
        shown = shown.long_about(about.clone());
    }
    if let Some(rest) = program.get_after_long_help() {
        shown = shown.after_long_help(rest.clone());
    }
    let verbs = program.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    shown.version(env!("CARGO_PKG_VERSION")).subcommand_required(true).subcommands(verbs)
}

/// The page that was asked for; or, where all of them were written, where they are, a line each.
///
/// # Errors
/// When there is no such verb, or a page cannot be written.
pub(crate) fn man(args: &ManArgs) -> Result<String> {
    if let Some(dir) = &args.out {
        return Ok(write_all(dir)?.iter().map(|path| format!("{}\n", path.display())).collect());
    }
    let pages = pages();
    let name = args.verb.as_ref().map_or("plimsoll".into(), |verb| format!("plimsoll-{verb}"));
    let page = pages.into_iter().find(|page| page.name == name).ok_or_else(|| {
        let verb = args.verb.as_deref().unwrap_or_default();
        anyhow!("there is no verb `{verb}`; `plimsoll --help` lists them")
    })?;
    Ok(page.text)
}

/// A manual page of section 1.
struct Page {
    name: String,
    text: String,
}

/// The program's page and one for each verb that people are meant to use, verbs of verbs included.
fn pages() -> Vec<Page> {
    let mut program = for_people().disable_help_subcommand(true);
    program.build();
    let mut commands = vec![program];
    let mut next = 0;
    while let Some(command) = commands.get(next) {
        let verbs: Vec<Command> = command.get_subcommands().cloned().collect();
        commands.extend(verbs);
        next += 1;
    }
    commands.into_iter().map(page).collect()
}

fn page(command: Command) -> Page {
    let name = command.get_display_name().unwrap_or("plimsoll").to_owned();
    let is_program = command.has_subcommands();
    let rest = command.get_after_long_help().map(ToString::to_string);
    let man = Man::new(command).source("plimsoll").manual("Plimsoll");
    let mut text = Vec::new();
    let rendered: io::Result<()> = (|| {
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if is_program {
            man.render_subcommands_section(&mut text)?;
        }
        rest.iter().try_for_each(|rest| verbatim(rest, &mut text))
    })();
    rendered.expect("memory takes what is written to it");
    Page { name, text: String::from_utf8_lossy(&text).into_owned() }
}

/// What stands below the options, in sections: a line that ends in a colon begins one. Lines stay as
/// they are.
fn verbatim(text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("nf", []);
    for line in text.lines() {
        match line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            Some(title) => roff.control("SH", [title.to_uppercase().as_str()]).control("nf", []),
            None => roff.text([roman(line)]),
        };
    }
    roff.control("fi", []);
    roff.to_writer(page)
}

fn write_all(dir: &Path) -> Result<Vec<PathBuf>> {
    let at = |path: &Path| format!("cannot write {}", path.display());
    fs::create_dir_all(dir).with_context(|| at(dir))?;
    let write = |page: Page| {
        let path = dir.join(OsStr::new(&format!("{}.1", page.name)));
        let written = fs::File::create(&path).and_then(|mut f| f.write_all(page.text.as_bytes()));
        written.with_context(|| at(&path))?;
        Ok(path)
    };
    pages().into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::*;
    use crate::cli::{SPIN_VERB, VICTIM_VERB};

    fn verbs() -> Vec<String> {
        let program = Cli::command();
        let shown = program.get_subcommands().filter(|verb| !verb.is_hide_set());
        let names = shown.flat_map(|verb| {
            let name = verb.get_name();
            let below =
                verb.get_subcommands().map(move |below| format!("{name}-{}", below.get_name()));
            std::iter::once(name.to_owned()).chain(below)
        });
        names.collect()
    }

    fn definition(verb: &str) -> Command {
        let program = Cli::command();
        if let Some(found) = program.find_subcommand(verb) {
            return found.clone();
        }
        let (above, below) = verb.split_once('-').expect("a verb of a verb");
        let above = program.find_subcommand(above).expect("a verb");
        above.find_subcommand(below).expect("a verb").clone()
    }

    #[test]
    fn every_verb_and_option_is_completed_in_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = completions(&CompletionsArgs { shell });
            for verb in verbs() {
                let last = verb.strip_prefix("log-").unwrap_or(&verb);
                assert!(script.contains(last), "{shell} {verb}");
            }
            assert!(script.contains("dry-run"), "{shell}");
            assert!(!script.contains(SPIN_VERB) && !script.contains(VICTIM_VERB), "{shell}");
        }
    }

    #[test]
    fn every_verb_has_a_page_with_its_options_and_examples() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let out = dir.path().join("man1");
        let listed = man(&ManArgs { verb: None, out: Some(out.clone()) }).expect("written");
        assert_eq!(listed.lines().count(), verbs().len() + 1, "{listed}");
        for verb in verbs() {
            let stored = fs::read_to_string(out.join(format!("plimsoll-{verb}.1"))).expect("page");
            let printed = man(&ManArgs { verb: Some(verb.clone()), out: None }).expect("a page");
            assert_eq!(printed, stored);
            assert!(printed.contains(".SH EXAMPLES"), "{verb}: {printed}");
            let definition = definition(&verb);
            for option in definition.get_arguments().filter_map(clap::Arg::get_long) {
                let escaped = format!("\\-\\-{}", option.replace('-', "\\-"));
                assert!(printed.contains(&escaped), "{verb} lacks {escaped}: {printed}");
            }
        }
        let own = man(&ManArgs { verb: None, out: None }).expect("a page");
        assert!(own.contains(".SH \"EXIT CODES\"") && own.contains("plimsoll\\-sweep(1)"), "{own}");
        assert!(!own.contains(SPIN_VERB) && !own.contains(VICTIM_VERB), "{own}");
    }

    #[test]
    fn an_unknown_verb_has_no_page() {
        let error = man(&ManArgs { verb: Some("sweap".into()), out: None }).expect_err("no verb");
        assert!(error.to_string().contains("`sweap`"), "{error}");
    }
}
