//! What a doubter, a repeater or a newcomer needs: the machine, the command, the words.

use maud::{Markup, html};

use crate::page::scrolling;
use crate::page::text::{count, number, printable};
use crate::store::schema::{Environment, Manifest};
use crate::units::{format_bytes, format_data};

/// One line of the environment table; `None` is an unknown value.
struct Fact {
    name: String,
    value: Option<String>,
}

/// The machine before the run, and after it where it changed.
pub(super) fn environment(manifest: &Manifest) -> Markup {
    environments(&manifest.environment_before, manifest.environment_after.as_ref())
}

/// The same of any run.
pub(super) fn environments(before: &Environment, after: Option<&Environment>) -> Markup {
    let before = facts(before);
    let after = after.map(facts);
    let value_after = |name: &str| after.as_ref()?.iter().find(|fact| fact.name == name);
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let table = html! {
        table.settings {
            thead { tr {
                th scope="col" { "Property" }
                th scope="col" { "Before the run" }
                @if after.is_some() { th scope="col" { "After it, where changed" } }
            } }
            tbody {
                @for fact in &before {
                    tr class=[fact.value.is_none().then_some("fixed")] {
                        th scope="row" { (fact.name) }
                        td { (shown(&fact.value)) }
                        @if after.is_some() {
                            td {
                                @if let Some(later) = value_after(&fact.name) {
                                    @if later.value != fact.value { (shown(&later.value)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    html! {
        section #environment aria-labelledby="environment-heading" {
            h2 #environment-heading { "Environment" }
            (scrolling("Environment", &table))
        }
    }
}

fn facts(environment: &Environment) -> Vec<Fact> {
    let fact = |name: &str, value: Option<String>| Fact {
        name: name.to_owned(),
        value: value.map(|text| printable(&text)).filter(|text| !text.is_empty()),
    };
    let e = environment;
    let crypto = e.cpu_crypto_flags.join(", ");
    let memlock = e.memlock_limit_bytes.map_or_else(|| "unlimited".to_owned(), format_bytes);
    let mut facts = vec![
        fact("Host", Some(e.hostname.clone())),
        fact("Kernel", Some(e.kernel.clone())),
        fact("Processor", e.cpu_model.clone()),
        fact("Processors available", Some(e.cpus.to_string())),
        fact("Frequency governor", e.cpu_governor.clone()),
        fact(
            "Crypto instructions",
            Some(if crypto.is_empty() { "none".to_owned() } else { crypto }),
        ),
        fact("Memory", Some(data(e.memory_bytes))),
        fact("cgroup processor limit", Some(e.cgroup_cpu_limit.map_or_else(none, number))),
        fact("cgroup memory limit", Some(e.cgroup_memory_limit_bytes.map_or_else(none, data))),
        fact("io_uring_disabled", e.io_uring_disabled.clone()),
        fact("Locked memory limit", Some(memlock)),
        fact("Directory", Some(e.target.clone())),
        fact("File system", e.filesystem.clone()),
        fact("Mount point", e.mount_point.clone()),
        fact("Mount options", e.mount_options.clone()),
        fact("Free space", Some(data(e.free_bytes))),
        fact("Block device", e.device.clone()),
        fact("Model", e.device_model.clone()),
        fact("Firmware", e.device_firmware.clone()),
        fact("Serial number, hashed", e.device_serial_hash.clone()),
        fact("Logical block", e.logical_block_bytes.map(format_bytes)),
        fact("Physical block", e.physical_block_bytes.map(format_bytes)),
        fact("Write cache", e.write_cache.clone()),
        fact(
            "Forced unit access (FUA)",
            e.fua.map(|fua| if fua { "yes" } else { "no" }.to_owned()),
        ),
        fact("Largest untorn write", e.atomic_write_max_bytes.map(format_bytes)),
        fact("I/O scheduler", e.scheduler.clone()),
    ];
    facts.extend(
        e.queue_limits
            .iter()
            .map(|(name, value)| fact(&format!("Queue: {}", printable(name)), Some(value.clone()))),
    );
    facts.push(fact("Load average, 1 minute", Some(number(e.load_average_1m))));
    facts.push(fact("Plimsoll", Some(e.plimsoll_version.clone())));
    facts
}

fn none() -> String {
    "none".to_owned()
}

#[allow(clippy::cast_precision_loss, reason = "three digits are printed")]
fn data(bytes: u64) -> String {
    format_data(bytes as f64)
}

/// The command and what names the run.
pub(super) fn identity(argv: &[String], facts: &[(&str, String)]) -> Markup {
    let command: Vec<String> = argv.iter().map(|word| shell_word(&printable(word))).collect();
    html! {
        section #reproduce aria-labelledby="reproduce-heading" {
            h2 #reproduce-heading { "How to reproduce" }
            p { "The seed fixes arrivals and payloads; the speed is the machine’s." }
            pre tabindex="0" aria-label="Command" { code { (command.join(" ")) } }
            (scrolling("Identity of the run", &html! {
                table.settings {
                    thead { tr { th scope="col" { "Property" } th scope="col" { "Value" } } }
                    tbody {
                        @for (name, value) in facts {
                            tr { th scope="row" { (name) } td { code { (value) } } }
                        }
                    }
                }
            }))
        }
    }
}

/// The command, the seeds and the profile.
pub(super) fn reproduce(manifest: &Manifest) -> Markup {
    let command: Vec<String> =
        manifest.argv.iter().map(|word| shell_word(&printable(word))).collect();
    let facts = [
        ("Run", printable(&manifest.run_id)),
        ("Seed", manifest.plan.seed.to_string()),
        ("Plan, SHA-256", printable(&manifest.plan_sha256)),
        ("Plimsoll", printable(&manifest.environment_before.plimsoll_version)),
        ("Started", printable(&manifest.started_utc)),
        (
            "Finished",
            manifest.finished_utc.as_deref().map_or_else(|| "not finished".to_owned(), printable),
        ),
        ("Configurations", count(manifest.plan.configurations.len() as u64)),
        ("Schema", printable(&manifest.schema_version)),
    ];
    html! {
        section #reproduce aria-labelledby="reproduce-heading" {
            h2 #reproduce-heading { "How to reproduce" }
            p { "The seed fixes the order of trials, the payloads and the bootstrap; the speed is the machine’s." }
            pre tabindex="0" aria-label="Command" { code { (command.join(" ")) } }
            (scrolling("Identity of the run", &html! {
                table.settings {
                    thead { tr { th scope="col" { "Property" } th scope="col" { "Value" } } }
                    tbody {
                        @for (name, value) in facts {
                            tr { th scope="row" { (name) } td { code { (value) } } }
                        }
                    }
                }
            }))
            details {
                summary { "The profile, as read" }
                pre tabindex="0" aria-label="Profile" { code { (lines(&manifest.profile_toml)) } }
            }
        }
    }
}

/// A text of several lines, each made printable.
fn lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// The word as a POSIX shell reads it back.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The words this page uses.
pub(super) fn glossary() -> Markup {
    let terms = [
        (
            "F0",
            "How many durable writes of one block the device finishes a second when each waits \
                for the one before. A log that writes one record at a time cannot be faster; one \
                that lets records share writes can.",
        ),
        (
            "Commit",
            "One record made durable: from the call until the log promised that it survives \
                    a loss of power.",
        ),
        (
            "Commit group",
            "The records that became durable by the same write. They share its \
                          latency, so percentiles are trusted by the number of groups.",
        ),
        (
            "p50, p99, p99.9",
            "The latency that half, 99 of 100 and 999 of 1,000 commits did not \
                             exceed. Shown only where enough groups were seen: 459 for p99, 4,603 \
                             for p99.9.",
        ),
        ("Configuration", "One choice of a level for every setting."),
        (
            "Baseline",
            "The configuration with every setting at the first level its profile lists; \
                      the others are described by how they differ from it.",
        ),
        (
            "Block",
            "One round in which every configuration runs once, in an order drawn from the \
                   seed. Comparing within blocks cancels slow changes of the machine.",
        ),
        (
            "Sentinel",
            "One configuration run at the start and the end of every block. What it does \
                      not repeat is the machine’s doing, not a setting’s.",
        ),
        (
            "Noise floor",
            "How far the sentinel’s two runs of a block differ, 95 % of the time. A \
                         smaller difference between settings is not a result.",
        ),
        (
            "95 % interval",
            "The range a value would fall into in 95 of 100 repetitions, as \
                           estimated by resampling the blocks. With few blocks it is rough.",
        ),
        ("Disturbed", "Other work on the machine probably took time from this trial."),
        (
            "Device bytes per payload byte",
            "What was written to the device, headers, padding and \
                                           encryption included, for each byte of payload.",
        ),
    ];
    html! {
        section #glossary aria-labelledby="glossary-heading" {
            h2 #glossary-heading { "Glossary" }
            dl.sentences { @for (term, meaning) in terms { div { dt { (term) } dd { (meaning) } } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_back_as_it_was_given() {
        assert_eq!(shell_word("--target=/var/lib"), "--target=/var/lib");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's; rm"), r"'it'\''s; rm'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn unknown_is_said_and_not_invented() {
        let facts = facts(&Environment::default());
        let value = |name: &str| facts.iter().find(|fact| fact.name == name).unwrap().value.clone();
        assert_eq!(value("Model"), None);
        assert_eq!(value("Forced unit access (FUA)"), None);
        assert_eq!(value("Locked memory limit").as_deref(), Some("unlimited"));
    }
}
