//! Rate over the rounds of the run, for the sentinel and the recommended configuration, each
//! against its own mean, with the band and the fitted line of SNIA's rule of a steady state: a
//! machine that drifts while it is measured shows here.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::view::{View, usable};
use crate::page::Plot;
use crate::page::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::text::{number, shortened, signed_percent};
use crate::store::schema::{Steadiness, TrialResult, TrialStatus};
use crate::units::format_share;

const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 302.0;
const LEGEND_TOP: f64 = BOTTOM + 62.0;
const LEGEND_LINE: f64 = 20.0;

/// SNIA's Solid State Storage Performance Test Specification on steady state: over its window the
/// values stay in a range of 20 % of their mean, and the fitted line moves by 10 % of it.
const RANGE_MOST: f64 = 0.2;
const EXCURSION_MOST: f64 = 0.1;

/// One configuration over time.
struct Series {
    name: &'static str,
    description: String,
    mean_per_second: f64,
    points: Vec<Point>,
    ink: Ink,
    symbol: Symbol,
}

/// One trial.
struct Point {
    /// Blocks since the start of the first one.
    time_blocks: f64,
    /// Rate over the series' mean, minus 1.
    deviation: f64,
    disturbed: bool,
    transient: bool,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let series: Vec<Series> = [sentinel(view), recommended(view)].into_iter().flatten().collect();
    let blocks: BTreeSet<u32> = view.run.trials.iter().map(|trial| trial.block).collect();
    if series.is_empty() || blocks.len() < 2 {
        return Ok(None);
    }
    let noise = usable(view.run.analysis.noise_floor_ratio);
    let title = "Steadiness: rate in each round against its own mean".to_owned();
    let caption = caption(view, noise);
    let lines = as_f64(series.len() * 2 + 1);
    let document = Document {
        name: "rounds",
        title: &title,
        description: &caption,
        height: LEGEND_TOP + lines * LEGEND_LINE + 2.0,
    };
    let svg = render(&document, |canvas| draw(canvas, &series, &blocks, noise))?;
    Ok(Some(Plot { file_name: "rounds.svg", title, svg, caption }))
}

fn caption(view: &View<'_>, noise: Option<f64>) -> String {
    let mut caption =
        "The sentinel ran at both ends of every block, the recommended configuration at its seeded \
         place inside. A slope or a step would mean that the machine changed while it was measured; \
         hollow points were disturbed by other load. SNIA calls a series steady if it spans at most \
         20 % of its mean, about the dashed lines, and its fitted line, thin here, rises or falls \
         by at most 10 %."
            .to_owned();
    if let Some(noise) = noise {
        caption.push_str(&format!(" The shade is the noise floor, ±{}.", format_share(noise)));
    }
    let looked_at = || view.run.trials.iter().filter_map(|trial| trial.steadiness.as_ref());
    let mut transient = looked_at().filter_map(|steadiness| match steadiness {
        Steadiness::Transient { reason, .. } => Some(reason),
        Steadiness::Steady { .. } => None,
    });
    if let Some(reason) = transient.next() {
        caption.push_str(&format!(
            " {} of {} trials had not settled within themselves (the first: {reason}); those on \
             the plot are wedges.",
            1 + transient.count(),
            looked_at().count()
        ));
    } else if looked_at().next().is_some() {
        caption.push_str(" Every trial had settled within itself.");
    }
    caption
}

fn sentinel(view: &View<'_>) -> Option<Series> {
    let points = series_points(view, |trial| trial.sentinel)?;
    let id = &view.run.manifest.plan.sentinel;
    let index = view.rows.iter().position(|row| row.configuration.id == *id)?;
    let description = view.description(index);
    let (mean_per_second, points) = points;
    let (name, ink, symbol) = ("Sentinel", Ink::Muted, Symbol::Square);
    Some(Series { name, description, mean_per_second, points, ink, symbol })
}

fn recommended(view: &View<'_>) -> Option<Series> {
    let index = view.recommended?;
    let id = &view.rows[index].configuration.id;
    let points = series_points(view, |trial| !trial.sentinel && trial.config_id == *id)?;
    let description = view.description(index);
    let (mean_per_second, points) = points;
    let (name, ink, symbol) = ("Recommended", Ink::Blue, Symbol::Dot);
    Some(Series { name, description, mean_per_second, points, ink, symbol })
}

/// The mean rate of the chosen trials and their deviations from it, in the order they ran.
fn series_points(
    view: &View<'_>,
    is_chosen: impl Fn(&TrialResult) -> bool,
) -> Option<(f64, Vec<Point>)> {
    let trials = view.run.trials;
    let positions = trials.iter().map(|trial| trial.position).max()?;
    let mut chosen: Vec<&TrialResult> = trials
        .iter()
        .filter(|trial| is_chosen(trial) && trial.status == TrialStatus::Ok)
        .filter(|trial| usable(Some(trial.rate_per_second)).is_some())
        .collect();
    chosen.sort_by_key(|trial| (trial.block, trial.position));
    let rates: Vec<f64> = chosen.iter().map(|trial| trial.rate_per_second).collect();
    let mean = usable(Some(rates.iter().sum::<f64>() / as_f64(rates.len())))?;
    let points = chosen
        .iter()
        .map(|trial| Point {
            time_blocks: f64::from(trial.block)
                + (f64::from(trial.position) + 0.5) / (f64::from(positions) + 1.0),
            deviation: trial.rate_per_second / mean - 1.0,
            disturbed: trial.disturbed,
            transient: matches!(trial.steadiness, Some(Steadiness::Transient { .. })),
        })
        .collect();
    Some((mean, points))
}

impl Series {
    /// From the lowest to the highest deviation.
    fn range(&self) -> f64 {
        let deviations = self.points.iter().map(|point| point.deviation);
        extent(deviations).map_or(0.0, |range| range.end - range.start)
    }

    /// The ends of the least-squares line through the points; `None` of a single moment.
    fn fitted_line(&self) -> Option<[(f64, f64); 2]> {
        let count = as_f64(self.points.len());
        let mean = |of: &dyn Fn(&Point) -> f64| self.points.iter().map(of).sum::<f64>() / count;
        let (time, level) = (mean(&|point| point.time_blocks), mean(&|point| point.deviation));
        let spread = mean(&|point| (point.time_blocks - time).powi(2));
        let together = mean(&|point| (point.time_blocks - time) * (point.deviation - level));
        let slope = usable(Some(spread)).map(|spread| together / spread)?;
        let (first, last) = (self.points.first()?, self.points.last()?);
        let at = |time_blocks: f64| (time_blocks, level + slope * (time_blocks - time));
        Some([at(first.time_blocks), at(last.time_blocks)])
    }

    /// How far the fitted line moves from its one end to the other.
    fn excursion(&self) -> f64 {
        self.fitted_line().map_or(0.0, |[first, last]| (last.1 - first.1).abs())
    }

    fn verdict(&self) -> String {
        let (range, excursion) = (self.range(), self.excursion());
        let word = if range <= RANGE_MOST && excursion <= EXCURSION_MOST {
            "steady"
        } else {
            "not steady"
        };
        format!(
            "{word} over the run: range {}, fitted line {}",
            format_share(range),
            format_share(excursion)
        )
    }
}

fn draw(
    canvas: &Canvas<'_>,
    series: &[Series],
    blocks: &BTreeSet<u32>,
    noise: Option<f64>,
) -> Result<()> {
    let first = blocks.first().copied().unwrap_or(0);
    let last = blocks.last().copied().unwrap_or(0);
    let x = Scale::linear(f64::from(first)..f64::from(last) + 1.0, LEFT..RIGHT);
    let deviations = series.iter().flat_map(|one| &one.points).map(|point| point.deviation.abs());
    let reach = extent(deviations).map_or(0.0, |range| range.end).max(RANGE_MOST / 2.0);
    let reach = reach.max(noise.unwrap_or(0.0)) * 1.2;
    let y = Scale::linear(-reach..reach, BOTTOM..TOP);

    draw_frame(canvas, &x, &y, blocks, noise)?;
    for one in series {
        let path: Vec<(f64, f64)> = one
            .points
            .iter()
            .map(|point| (x.at(point.time_blocks), y.at(point.deviation)))
            .collect();
        canvas.path(&path, one.ink, 1.5)?;
        for (at, point) in path.iter().zip(&one.points) {
            let symbol = match (point.transient, point.disturbed) {
                (true, _) => Symbol::Wedge,
                (false, true) => Symbol::Ring,
                (false, false) => one.symbol,
            };
            canvas.symbol(*at, 4.5, symbol, one.ink)?;
        }
        if let Some(line) = one.fitted_line() {
            let [from, to] = line.map(|(time, level)| (x.at(time), y.at(level)));
            canvas.line(from, to, one.ink, 1.0)?;
        }
    }
    draw_legend(canvas, series, noise)
}

fn draw_frame(
    canvas: &Canvas<'_>,
    x: &Scale,
    y: &Scale,
    blocks: &BTreeSet<u32>,
    noise: Option<f64>,
) -> Result<()> {
    canvas.text((0.0, 42.0), "rate against its own mean, %", LABEL)?;
    if let Some(noise) = noise {
        canvas.shade((LEFT, y.at(noise)), (RIGHT, y.at(-noise)), Ink::Quiet, 0.16)?;
    }
    for tick in y.ticks(6) {
        let is_zero = tick.abs() < 1e-12;
        let (ink, width) = if is_zero { (Ink::Muted, 1.5) } else { (Ink::Grid, 1.0) };
        canvas.line((LEFT, y.at(tick)), (RIGHT, y.at(tick)), ink, width)?;
        canvas.text((LEFT - 10.0, y.at(tick)), &signed_percent(tick), LABEL.right())?;
    }
    for edge in [RANGE_MOST / 2.0, -RANGE_MOST / 2.0] {
        canvas.dashes((LEFT, y.at(edge)), (RIGHT, y.at(edge)), Ink::Muted)?;
    }
    let labelled_every = blocks.len().div_ceil(20).max(1);
    for (index, &block) in blocks.iter().enumerate() {
        let (left, middle) = (x.at(f64::from(block)), x.at(f64::from(block) + 0.5));
        canvas.line((left, TOP), (left, BOTTOM), Ink::Grid, 1.0)?;
        if index % labelled_every == 0 {
            let label = (u64::from(block) + 1).to_string();
            canvas.text((middle, BOTTOM + 16.0), &label, LABEL.centred())?;
        }
    }
    canvas.text(
        ((LEFT + RIGHT) / 2.0, BOTTOM + 35.0),
        "block, in the order they ran; trials at their place within it",
        LABEL.centred(),
    )
}

fn draw_legend(canvas: &Canvas<'_>, series: &[Series], noise: Option<f64>) -> Result<()> {
    let mut y = LEGEND_TOP;
    for one in series {
        canvas.line((12.0, y), (44.0, y), one.ink, 2.0)?;
        canvas.symbol((28.0, y), 4.5, one.symbol, one.ink)?;
        canvas.text((LEFT, y), one.name, LABEL.ink(Ink::Text).bold())?;
        let description = shortened(&one.description, LABEL.fitting(560.0));
        canvas.text((LEFT + 116.0, y), &description, LABEL)?;
        let mean = format!("mean {} commits/s", number(one.mean_per_second));
        canvas.text((RIGHT, y), &mean, LABEL.ink(Ink::Text).right())?;
        canvas.text((LEFT + 116.0, y + LEGEND_LINE), &one.verdict(), LABEL.ink(Ink::Text))?;
        y += 2.0 * LEGEND_LINE;
    }
    canvas.dashes((12.0, y), (44.0, y), Ink::Muted)?;
    canvas.text((LEFT, y), "±10 % of the mean", LABEL)?;
    if let Some(noise) = noise {
        let left = LEFT + 170.0;
        canvas.shade((left, y - 7.0), (left + 32.0, y + 7.0), Ink::Quiet, 0.16)?;
        let label = format!("noise floor ±{}", format_share(noise));
        canvas.text((left + 42.0, y), &label, LABEL)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;

    #[test]
    fn a_series_is_in_time_order_and_around_its_mean() {
        let mut synthetic = Synthetic::full();
        synthetic.trials.reverse();
        let view = View::new(synthetic.run());
        let sentinel = sentinel(&view).unwrap();
        assert_eq!(sentinel.points.len(), 10, "two a block");
        assert!(sentinel.points.is_sorted_by_key(|point| point.time_blocks));
        let sum: f64 = sentinel.points.iter().map(|point| point.deviation).sum();
        assert!(sum.abs() < 1e-9, "{sum}");
        assert_eq!(recommended(&view).unwrap().points.len(), 5);
    }

    #[test]
    fn a_slope_is_fitted_and_judged_as_snia_does() {
        let rising = |rise: f64| {
            let mut synthetic = Synthetic::full();
            for trial in synthetic.trials.iter_mut().filter(|trial| trial.sentinel) {
                let time = f64::from(trial.block) + f64::from(u8::from(trial.position > 0));
                trial.rate_per_second = 1_000.0 * (1.0 + rise * time / 5.0);
            }
            let view = View::new(synthetic.run());
            let series = sentinel(&view).unwrap();
            (series.range(), series.excursion(), series.verdict())
        };
        let (range, excursion, verdict) = rising(0.08);
        assert!((range - 0.08 / 1.04).abs() < 1e-9 && (excursion - range).abs() < 0.003);
        assert!(verdict.starts_with("steady"), "{verdict}");
        // The range is under 20 %, the line is not under 10 %.
        assert!(rising(0.15).2.starts_with("not steady"), "{:?}", rising(0.15));
    }

    #[test]
    fn trials_that_had_not_settled_are_told_and_marked() {
        let mut synthetic = Synthetic::full();
        synthetic.trials.iter_mut().for_each(|trial| trial.steadiness = None);
        let caption_of =
            |synthetic: &Synthetic| plot(&View::new(synthetic.run())).unwrap().unwrap().caption;
        assert!(!caption_of(&synthetic).contains("settled"), "nobody looked");
        for trial in &mut synthetic.trials {
            trial.steadiness = Some(Steadiness::Steady { rounds: 5 });
        }
        assert!(caption_of(&synthetic).contains("Every trial had settled"));
        let reason = "p99 still falls".to_owned();
        synthetic.trials[0].steadiness = Some(Steadiness::Transient { rounds: 25, reason });
        let told = format!("1 of {} trials had not settled", synthetic.trials.len());
        let caption = caption_of(&synthetic);
        assert!(caption.contains(&told) && caption.contains("p99 still falls"), "{caption}");
        let view = View::new(synthetic.run());
        assert!(sentinel(&view).unwrap().points[0].transient);
    }

    #[test]
    fn trials_that_failed_are_not_on_the_line() {
        let mut synthetic = Synthetic::full();
        for trial in synthetic.trials.iter_mut().filter(|trial| trial.sentinel && trial.block < 4) {
            trial.status = TrialStatus::Failed { reason: "lost".to_owned() };
        }
        let view = View::new(synthetic.run());
        assert_eq!(sentinel(&view).unwrap().points.len(), 2);
    }
}
