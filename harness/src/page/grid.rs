//! The grid behind a plot: a line at each round value of a scale, with its number beside it.

use anyhow::Result;

use super::canvas::{Canvas, Ink, LABEL};
use super::scale::Scale;
use super::text::tick as tick_label;

/// Lines from left to right at about `count` values of an upright scale, the numbers at the left.
pub(crate) fn levels(
    canvas: &Canvas<'_>,
    y: &Scale,
    count: usize,
    (left, right): (f64, f64),
) -> Result<()> {
    for tick in y.ticks(count) {
        let y = y.at(tick);
        canvas.line((left, y), (right, y), Ink::Grid, 1.0)?;
        canvas.text((left - 10.0, y), &tick_label(tick), LABEL.right())?;
    }
    Ok(())
}

/// Lines from top to bottom at about `count` values of a level scale, the numbers beneath.
pub(crate) fn uprights(
    canvas: &Canvas<'_>,
    x: &Scale,
    count: usize,
    (top, bottom): (f64, f64),
) -> Result<()> {
    for tick in x.ticks(count) {
        let x = x.at(tick);
        canvas.line((x, top), (x, bottom), Ink::Grid, 1.0)?;
        canvas.text((x, bottom + 16.0), &tick_label(tick), LABEL.centred())?;
    }
    Ok(())
}
