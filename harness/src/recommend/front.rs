//! The Pareto front: the configurations that nothing else makes superfluous. Measured numbers have
//! errors, so one makes another superfluous if it is clearly better in something, and in nothing so
//! much as seems worse by more than equal runs differ.
//!
//! V. Pareto, "Manuale di economia politica" (1906); dominance as in K. Deb, "Multi-Objective
//! Optimization using Evolutionary Algorithms" (2001), section 2.4, with a tolerance for errors.

use super::measures::{Candidate, Merit, Yardstick, common_tail};

/// Whether each candidate is on the front, in their order.
///
/// With errors dominance is not transitive, so that three could make each other superfluous. They
/// are therefore taken from the fastest on: one that a faster member makes superfluous is left out,
/// and then every member that a slower one makes superfluous. At least one always stays.
pub(crate) fn on_front(candidates: &[Candidate], yardstick: &Yardstick) -> Vec<bool> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let rate = |index: usize| candidates[index].rate.estimate.value;
    order.sort_by(|a, b| rate(*b).total_cmp(&rate(*a)).then(a.cmp(b)));
    let dominates =
        |one: usize, other: usize| dominates(&candidates[one], &candidates[other], yardstick);
    let mut members: Vec<usize> = Vec::new();
    for index in order {
        if !members.iter().any(|member| dominates(*member, index)) {
            members.push(index);
        }
    }
    let stays = |index: &usize| !members.iter().any(|member| dominates(*member, *index));
    let front: Vec<usize> = members.iter().copied().filter(stays).collect();
    (0..candidates.len()).map(|index| front.contains(&index)).collect()
}

/// Whether nobody would take the other one.
fn dominates(one: &Candidate, other: &Candidate, yardstick: &Yardstick) -> bool {
    let merits = [Merit::Rate, common_tail(one, other), Merit::Bytes, Merit::Cpu, Merit::Memory];
    let better = |merit: &Merit| yardstick.is_clearly_better(*merit, one, other);
    let worse = |merit: &Merit| yardstick.seems_worse(*merit, one, other);
    merits.iter().any(better) && !merits.iter().any(worse)
}
