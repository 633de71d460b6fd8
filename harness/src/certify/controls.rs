//! The seeded bugs of the library under the settings that are certified: which of them can show,
//! by rule, and which of those the matrix notices.

use plimsoll::simulated::Sabotage;
use plimsoll::{Durability, Engine, SegmentedWalConfig};

use super::exploring::{Explorer, Found, Share};
use crate::store::certificate::{Control, ControlOutcome};

/// Tries every bug with each share in turn until it is noticed. `None` after Ctrl-C.
pub(super) fn run(explorer: &Explorer<'_>, shares: &[Share]) -> Option<Vec<Control>> {
    let subject = explorer.subject;
    let mut controls = Vec::new();
    for bug in Sabotage::ALL {
        let outcome = match not_applicable(bug, &subject.config, subject.is_encrypted()) {
            Some(reason) => ControlOutcome::NotApplicable { reason: reason.to_owned() },
            None => search(explorer, shares, bug)?,
        };
        controls.push(Control { bug: format!("{bug:?}"), outcome });
    }
    Some(controls)
}

/// Why a bug cannot show under these settings, whatever is tried.
fn not_applicable(
    bug: Sabotage,
    config: &SegmentedWalConfig,
    encrypted: bool,
) -> Option<&'static str> {
    let inline = config.engine == Engine::Blocking;
    match bug {
        Sabotage::ReuseNonce if !encrypted => Some("there are no nonces without a key"),
        Sabotage::AcknowledgeEarly if inline => {
            Some("the blocking engine has no write that could be reported before it is complete")
        }
        Sabotage::AdvancePastGap if inline => {
            Some("the blocking engine completes writes in their order, so that there is no gap")
        }
        Sabotage::AdvancePastGap if config.pipeline_depth == 1 => {
            Some("with one batch in flight there is no gap")
        }
        Sabotage::AdvancePastGap if config.durability == Durability::Fdatasync => {
            Some("no batch is durable by its own write, so that none is ahead of a gap")
        }
        _ => None,
    }
}

fn search(explorer: &Explorer<'_>, shares: &[Share], bug: Sabotage) -> Option<ControlOutcome> {
    for share in shares {
        match explorer.explore(share, Some(bug)) {
            Found::Interrupted => return None,
            Found::Nothing(_) => {}
            Found::Violation(violation) => {
                return Some(ControlOutcome::Caught {
                    exact_sizes: share.exact_sizes,
                    seed: violation.seed,
                    problem: violation.problem,
                });
            }
        }
    }
    Some(ControlOutcome::Survived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_show_follows_from_the_settings() {
        let hidden = |config: &SegmentedWalConfig, encrypted| -> Vec<Sabotage> {
            let hidden = |bug: &Sabotage| not_applicable(*bug, config, encrypted).is_some();
            Sabotage::ALL.into_iter().filter(hidden).collect()
        };
        let mut config = SegmentedWalConfig::new("x");
        (config.engine, config.pipeline_depth) = (Engine::Uring, 4);
        assert_eq!(hidden(&config, true), []);
        assert_eq!(hidden(&config, false), [Sabotage::ReuseNonce]);
        config.durability = Durability::Fdatasync;
        assert_eq!(hidden(&config, true), [Sabotage::AdvancePastGap]);
        (config.durability, config.pipeline_depth) = (Durability::Dsync, 1);
        assert_eq!(hidden(&config, true), [Sabotage::AdvancePastGap]);
        (config.engine, config.pipeline_depth) = (Engine::Blocking, 4);
        assert_eq!(hidden(&config, true), [Sabotage::AcknowledgeEarly, Sabotage::AdvancePastGap]);
        // It may become io_uring on some disk.
        config.engine = Engine::Auto;
        assert_eq!(hidden(&config, true), []);
    }
}
