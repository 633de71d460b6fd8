//! `plimsoll log salvage`: what is whole in a damaged log into a new one, each record at the LSN it
//! has, with a report of everything that is not in it.
//!
//! The damaged log is only read, through `plimsoll::inspect`. What belongs to it is what an opening
//! would have kept had nothing been damaged: every record that was promised, and behind those what
//! follows without a gap.

mod plan;
mod report;
mod segment;

use plimsoll::KeyRing;

use super::keys::ring;
use super::log::look_into;
use super::rebuild::{Numbering, Place, Rebuild, settings_for};
use crate::cli::SalvageArgs;
use crate::failure::Failure;
use crate::ticker::Ticker;

use plan::Plan;
use segment::Salvage;

pub(crate) use report::Salvaged;

/// Salvages as the command line says.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do, and nothing was written then.
pub(crate) fn run(args: &SalvageArgs) -> Result<Salvaged, Failure> {
    let keys = ring(&args.key_file)?;
    let keys = keys.map(|keys| if args.plain_past { keys.with_plain_past() } else { keys });
    let log = look_into(&args.dir)?;
    let plan = Plan::make(&log, args, keys.as_ref())?;
    let place = Place::claim(&args.new, &args.dir)?;
    let bytes = plan.segments.iter().map(|segment| segment.len_bytes).sum();
    let new_keys = if args.in_clear { None } else { keys.clone() };
    let numbering = Numbering { first_lsn: Some(plan.first_lsn), renumber: args.renumber };
    let mut rebuild = Rebuild::new(place, settings_for(bytes, new_keys), numbering)?;
    let ticker = Ticker::new(args.quiet || args.json);
    let mut salvage = Salvage::new(&log, &plan, keys.as_ref(), &mut rebuild, &ticker);
    for number in 0..plan.segments.len() {
        salvage.segment(number)?;
    }
    let read = salvage.end()?;
    ticker.note("reading back");
    let (rebuilt, place) = rebuild.end(&args.dir.display().to_string())?;
    ticker.finish();
    place.map_or(Ok(()), Place::finish)?;
    Ok(Salvaged::new(args, &log, plan.doubts, read, rebuilt))
}

/// Whether a ring has this key.
fn has_key(keys: Option<&KeyRing>, id: u64) -> bool {
    keys.is_some_and(|keys| keys.key_ids().any(|known| known == id))
}
