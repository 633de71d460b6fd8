//! How trials settled: rate and p99 in each round of a trial against the mean of its last rounds,
//! with SNIA's band. Only trials that go on in rounds have one.

use anyhow::Result;

use super::super::view::{View, usable};
use crate::page::Plot;
use crate::page::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::text::{shortened, signed_percent};
use crate::store::schema::{Round, STEADY_ROUNDS, Steadiness, TrialResult, TrialStatus};

const TOP: f64 = 36.0;
const STRIP_HEAD: f64 = 58.0;
const STRIP_HEIGHT: f64 = 150.0;
const STRIP_BELOW: f64 = 56.0;
const AXIS_WIDTH: f64 = 54.0;
const PANEL_GAP: f64 = 24.0;
const LEGEND_HEIGHT: f64 = 30.0;

/// Values may span 20 % of their mean: the band reaches half of that to either side.
const BAND: f64 = 0.1;

/// A start that is further off is drawn at the edge.
const REACH_MOST: f64 = 1.0;

/// The trials of one configuration.
struct Strip {
    name: &'static str,
    description: String,
    ink: Ink,
    trials: Vec<Trial>,
}

/// One trial, each number against the mean of its last rounds, minus 1.
struct Trial {
    rate: Vec<f64>,
    p99: Vec<f64>,
    transient: bool,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let strips: Vec<Strip> = [recommended(view), sentinel(view)].into_iter().flatten().collect();
    if strips.is_empty() {
        return Ok(None);
    }
    let title = "Settling: the rounds of each trial against its last five".to_owned();
    let caption = "Each line is a trial. It is steady, and ends, once rate and p99 of its last five \
                   rounds lie within 20 % of their mean, the dashed band, and neither rises or falls \
                   by more than 10 %: SNIA's rule. Wedges mark trials that never came to that."
        .to_owned();
    let strip_height = STRIP_HEAD + STRIP_HEIGHT + STRIP_BELOW;
    let height = TOP + as_f64(strips.len()) * strip_height + LEGEND_HEIGHT;
    let document = Document { name: "settling", title: &title, description: &caption, height };
    let svg = render(&document, |canvas| {
        for (index, strip) in strips.iter().enumerate() {
            draw_strip(canvas, strip, TOP + as_f64(index) * strip_height)?;
        }
        draw_legend(canvas, height - 12.0)
    })?;
    Ok(Some(Plot { file_name: "settling.svg", title, svg, caption }))
}

fn recommended(view: &View<'_>) -> Option<Strip> {
    let index = view.recommended?;
    let id = &view.rows[index].configuration.id;
    let trials = trials(view, |trial| !trial.sentinel && trial.config_id == *id);
    let (name, description, ink) = ("Recommended", view.description(index), Ink::Blue);
    (!trials.is_empty()).then_some(Strip { name, description, ink, trials })
}

fn sentinel(view: &View<'_>) -> Option<Strip> {
    let id = &view.run.manifest.plan.sentinel;
    let index = view.rows.iter().position(|row| row.configuration.id == *id)?;
    let trials = trials(view, |trial| trial.sentinel);
    let (name, description, ink) = ("Sentinel", view.description(index), Ink::Purple);
    (!trials.is_empty()).then_some(Strip { name, description, ink, trials })
}

fn trials(view: &View<'_>, is_chosen: impl Fn(&TrialResult) -> bool) -> Vec<Trial> {
    let in_rounds = view.run.trials.iter().filter(|trial| {
        is_chosen(trial) && trial.status == TrialStatus::Ok && trial.rounds.len() > 1
    });
    in_rounds
        .map(|trial| Trial {
            rate: against_last(&trial.rounds, |round| usable(Some(round.rate_per_second))),
            p99: against_last(&trial.rounds, |round| usable(round.p99_us)),
            transient: matches!(trial.steadiness, Some(Steadiness::Transient { .. })),
        })
        .filter(|trial| !trial.rate.is_empty())
        .collect()
}

/// Each round's value by the mean of the last five, minus 1; nothing where a round has none.
fn against_last(rounds: &[Round], of: impl Fn(&Round) -> Option<f64>) -> Vec<f64> {
    let Some(values) = rounds.iter().map(of).collect::<Option<Vec<f64>>>() else {
        return Vec::new();
    };
    let last = &values[values.len().saturating_sub(STEADY_ROUNDS as usize)..];
    let mean = last.iter().sum::<f64>() / as_f64(last.len().max(1));
    values.iter().map(|value| value / mean - 1.0).collect()
}

fn draw_strip(canvas: &Canvas<'_>, strip: &Strip, top: f64) -> Result<()> {
    canvas.text((0.0, top + 10.0), strip.name, LABEL.ink(Ink::Text).bold())?;
    let description = shortened(&strip.description, LABEL.fitting(WIDTH - 116.0));
    canvas.text((112.0, top + 10.0), &description, LABEL)?;
    let middle = WIDTH / 2.0;
    let (top, bottom) = (top + STRIP_HEAD, top + STRIP_HEAD + STRIP_HEIGHT);
    let rate: fn(&Trial) -> &[f64] = |trial| &trial.rate;
    let p99: fn(&Trial) -> &[f64] = |trial| &trial.p99;
    let panels = [
        ("rate", rate, 0.0, middle - PANEL_GAP / 2.0),
        ("p99 latency", p99, middle + PANEL_GAP / 2.0, WIDTH - 8.0),
    ];
    for (name, of, left, right) in panels {
        let label = format!("{name} against its last five rounds, %");
        canvas.text((left, top - 18.0), &label, LABEL.size(11.0))?;
        draw_panel(canvas, strip, of, (left + AXIS_WIDTH, right), (top, bottom))?;
    }
    Ok(())
}

fn draw_panel(
    canvas: &Canvas<'_>,
    strip: &Strip,
    of: fn(&Trial) -> &[f64],
    (left, right): (f64, f64),
    (top, bottom): (f64, f64),
) -> Result<()> {
    let all = strip.trials.iter().flat_map(of).map(|deviation| deviation.abs());
    let reach = extent(all).map_or(0.0, |range| range.end).clamp(BAND, REACH_MOST) * 1.15;
    let y = Scale::linear(-reach..reach, bottom..top);
    let rounds = strip.trials.iter().map(|trial| trial.rate.len()).max().unwrap_or(1);
    let x = Scale::linear(0.5..as_f64(rounds) + 0.5, left..right);
    for tick in y.ticks(5) {
        canvas.line((left, y.at(tick)), (right, y.at(tick)), Ink::Grid, 1.0)?;
        canvas.text((left - 8.0, y.at(tick)), &signed_percent(tick), LABEL.right())?;
    }
    for edge in [BAND, -BAND] {
        canvas.dashes((left, y.at(edge)), (right, y.at(edge)), Ink::Muted)?;
    }
    for round in (1..=rounds).step_by(rounds.div_ceil(12)) {
        let label = round.to_string();
        canvas.text((x.at(as_f64(round)), bottom + 14.0), &label, LABEL.size(11.0).centred())?;
    }
    let middle = (f64::midpoint(left, right), bottom + 32.0);
    canvas.text(middle, "round of the trial", LABEL.size(11.0).centred())?;
    for trial in &strip.trials {
        let path: Vec<(f64, f64)> = of(trial)
            .iter()
            .enumerate()
            .map(|(index, value)| (x.at(as_f64(index + 1)), y.at(*value)))
            .collect();
        let Some(&end) = path.last() else { continue };
        canvas.path(&path, strip.ink, 1.2)?;
        let (symbol, ink) =
            if trial.transient { (Symbol::Wedge, Ink::Red) } else { (Symbol::Dot, strip.ink) };
        canvas.symbol(end, 4.0, symbol, ink)?;
    }
    Ok(())
}

fn draw_legend(canvas: &Canvas<'_>, y: f64) -> Result<()> {
    canvas.symbol((AXIS_WIDTH, y), 4.0, Symbol::Dot, Ink::Blue)?;
    canvas.text((AXIS_WIDTH + 12.0, y), "steady", LABEL)?;
    canvas.symbol((AXIS_WIDTH + 92.0, y), 4.0, Symbol::Wedge, Ink::Red)?;
    canvas.text((AXIS_WIDTH + 104.0, y), "not steady after all rounds", LABEL)?;
    canvas.dashes((AXIS_WIDTH + 304.0, y), (AXIS_WIDTH + 334.0, y), Ink::Muted)?;
    canvas.text((AXIS_WIDTH + 342.0, y), "±10 % of the mean", LABEL)
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;

    #[test]
    fn rounds_are_held_against_the_last_five() {
        let round = |rate_per_second, p99_us| Round { rate_per_second, p99_us };
        let rounds: Vec<Round> = [180.0, 120.0, 90.0, 95.0, 100.0, 105.0, 110.0]
            .map(|rate| round(rate, (rate > 100.0).then_some(rate)))
            .to_vec();
        let found = against_last(&rounds, |round| Some(round.rate_per_second));
        assert!((found[0] - 0.8).abs() < 1e-9 && (found[6] - 0.1).abs() < 1e-9, "{found:?}");
        assert_eq!(against_last(&rounds, |round| round.p99_us), [0.0; 0], "not in every round");
    }

    #[test]
    fn only_trials_that_go_on_in_rounds_are_drawn_and_the_unsteady_are_marked() {
        let mut synthetic = Synthetic::full();
        for trial in &mut synthetic.trials {
            (trial.rounds, trial.steadiness) = (Vec::new(), None);
        }
        assert_eq!(plot(&View::new(synthetic.run())).unwrap(), None);
        for trial in synthetic.trials.iter_mut().filter(|trial| trial.sentinel).take(3) {
            trial.rounds = vec![Round { rate_per_second: 1e3, p99_us: Some(200.0) }; 6];
            trial.steadiness = Some(Steadiness::Steady { rounds: 6 });
        }
        let reason = "p99 still falls".to_owned();
        synthetic.trials[0].steadiness = Some(Steadiness::Transient { rounds: 6, reason });
        let view = View::new(synthetic.run());
        let strip = sentinel(&view).unwrap();
        let transient: Vec<bool> = strip.trials.iter().map(|trial| trial.transient).collect();
        assert_eq!(transient, [true, false, false]);
        assert!(recommended(&view).is_none());
        assert!(plot(&view).unwrap().unwrap().svg.contains("settling-title"));
    }
}
