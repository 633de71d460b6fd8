//! A certificate in words: for the terminal, and as `certificate.txt`.

use std::fmt::Write;

use super::subject::Subject;
use crate::store::certificate::{Certificate, Control, ControlOutcome, Part, Verdict};
use crate::units::{format_bytes, format_count, format_seconds};

const LIMITS: &str = "\
What this does not show: the disks are simulated and do what docs/durability.md says that a disk may
do; yours, its driver and your file system may do worse. The log runs as its one owner drives it, in
one thread: commit_window and races between threads play no part. `plimsoll torture DIR` kills real
processes on your disk.";

/// All of it, ended by a line end.
pub(super) fn text(subject: &Subject, certificate: &Certificate) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(&heading(certificate));
    line("");
    line(&format!("Settings of {}:", subject.file.display()));
    for (name, value) in &certificate.settings {
        line(&format!("  {name} = {value}"));
    }
    line("");
    line(&format!(
        "plimsoll {}, {}, {}",
        certificate.plimsoll_version,
        certificate.started_utc,
        format_seconds(certificate.seconds)
    ));
    for part in &certificate.parts {
        line(&explored(part));
    }
    if let Some(broken) = &certificate.violation {
        line("");
        line(&broken.problem);
    }
    if !certificate.controls.is_empty() {
        line("");
        line("Seeded bugs under the same settings:");
        for control in &certificate.controls {
            line(&format!("  {:20} {}", control.bug, noticed(control)));
        }
    }
    line("");
    line(LIMITS);
    text
}

fn heading(certificate: &Certificate) -> String {
    let (caught, can) = certificate.caught_of_applicable();
    match certificate.verdict() {
        Verdict::Certified => format!(
            "CERTIFIED: nothing acknowledged was lost, and {caught} of {can} seeded bugs that can \
             show were noticed."
        ),
        Verdict::Broken => {
            "BROKEN: do not use these settings. A promise was broken; please report \
                            what follows."
                .to_owned()
        }
        Verdict::Inconclusive => format!(
            "INCONCLUSIVE: nothing acknowledged was lost, but only {caught} of {can} seeded bugs \
             that can show were noticed. Try more --seeds and --small-seeds."
        ),
    }
}

fn explored(part: &Part) -> String {
    format!(
        "{}, segments of {} and buffers of {}:\n  {} histories, {} lives, {} power cuts with {} \
         acknowledged records; {} opened and crashed again;\n  {} damaged besides: {} refused, {} \
         ended early with nothing left to tell of it",
        if part.exact_sizes { "Exactly these settings" } else { "Small sizes" },
        format_bytes(part.segment_size_bytes),
        format_bytes(part.buffer_size_bytes),
        format_count(part.seeds),
        format_count(part.lives),
        format_count(part.images),
        format_count(part.records),
        format_count(part.opened),
        format_count(part.damaged),
        format_count(part.refused),
        format_count(part.residue),
    )
}

fn noticed(control: &Control) -> String {
    match &control.outcome {
        ControlOutcome::Caught { exact_sizes, seed, problem } => {
            let sizes = if *exact_sizes { "exact sizes" } else { "small sizes" };
            format!("noticed: {sizes}, seed {seed}: {problem}")
        }
        ControlOutcome::NotApplicable { reason } => format!("cannot show: {reason}"),
        ControlOutcome::Survived => "NOT NOTICED".to_owned(),
    }
}
