//! What a recommendation is asked for.

use crate::cli::Objective;
use crate::load::Slo;
use crate::store::schema::Asked;

/// What the settings have to meet, and what is optimised among those that do. The default is what
/// every run is concluded for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Question {
    pub slo: Option<Slo>,
    pub objective: Objective,
}

impl Question {
    /// For what is stored: nothing, where it is what every run is concluded for.
    pub(crate) fn asked(&self) -> Option<Asked> {
        (*self != Self::default()).then(|| Asked {
            slo: self.slo.as_ref().map(Slo::to_string),
            objective: self.objective.name().to_owned(),
        })
    }
}
