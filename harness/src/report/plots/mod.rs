//! The plots of a report, as SVG text: trade-offs, effects, throughput, latency and rounds.
//!
//! Each file draws one plot from the [`View`], on a sheet of `page`.
//! A plot with nothing to show is left out rather than drawn empty.

mod effects;
mod front;
mod load_latency;
mod over_time;
mod pairs;
mod rounds;
mod settling;
mod spectrum;
mod throughput;

use anyhow::{Context, Result};

use super::Run;
use super::view::View;
use crate::page::Plot;

pub(super) use load_latency::{FILE_NAME as LOAD_LATENCY, plot as load_latency};

/// Every plot of a sweep there can be, in the order a report shows them.
pub(super) const FILE_NAMES: [&str; 8] = [
    "front.svg",
    "effects.svg",
    "pairs.svg",
    "throughput.svg",
    "latency.svg",
    "over-time.svg",
    "rounds.svg",
    "settling.svg",
];

/// Every plot the run has data for, in the order a report shows them. The same run gives the
/// same bytes.
///
/// # Errors
/// Only when the SVG backend refuses to draw, which says which plot it was.
pub(crate) fn plots(run: &Run<'_>) -> Result<Vec<Plot>> {
    let view = View::new(*run);
    let drawn = [
        front::plot(&view).context("cannot draw the trade-offs plot")?,
        effects::plot(&view).context("cannot draw the effects plot")?,
        pairs::plot(&view).context("cannot draw the plot of pairs")?,
        throughput::plot(&view).context("cannot draw the throughput plot")?,
        spectrum::plot(&view).context("cannot draw the latency plot")?,
        over_time::plot(&view).context("cannot draw the plot of latency over time")?,
        rounds::plot(&view).context("cannot draw the rounds plot")?,
        settling::plot(&view).context("cannot draw the settling plot")?,
    ];
    Ok(drawn.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Synthetic;
    use super::*;

    /// Names of the plots drawn, which also asserts what holds for every plot.
    fn draw(synthetic: &Synthetic) -> Vec<&'static str> {
        let plots = plots(&synthetic.run()).unwrap();
        for plot in &plots {
            assert!(plot.svg.starts_with("<svg ") && plot.svg.trim_end().ends_with("</svg>"));
            assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf\""), "{}", plot.file_name);
            assert!(!plot.svg.contains("<script"), "{}", plot.file_name);
            assert!(plot.svg.chars().all(|c| !c.is_control() || c == '\n'), "{}", plot.file_name);
            assert_elements_balance(&plot.svg);
        }
        plots.iter().map(|plot| plot.file_name).collect()
    }

    fn assert_elements_balance(svg: &str) {
        for name in ["svg", "text", "style", "title", "desc"] {
            let opened = svg.matches(&format!("<{name} ")).count()
                + svg.matches(&format!("<{name}>")).count();
            assert_eq!(opened, svg.matches(&format!("</{name}>")).count(), "{name}");
        }
    }

    #[test]
    fn a_full_run_draws_every_plot() {
        assert_eq!(draw(&Synthetic::full()), FILE_NAMES);
        assert_eq!(draw(&Synthetic::with_refusals()), FILE_NAMES);
        assert_eq!(draw(&Synthetic::hostile_strings()), FILE_NAMES);
    }

    #[test]
    fn nothing_measured_draws_nothing() {
        assert_eq!(draw(&Synthetic::empty()), Vec::<&str>::new());
        assert_eq!(draw(&Synthetic::all_refused()), Vec::<&str>::new());
    }

    #[test]
    fn one_block_has_no_rounds_to_compare() {
        let drawn = draw(&Synthetic::single_block());
        assert!(drawn.contains(&"throughput.svg") && !drawn.contains(&"rounds.svg"), "{drawn:?}");
    }

    #[test]
    fn hostile_numbers_do_not_panic_and_do_not_show() {
        draw(&Synthetic::hostile_numbers());
    }

    #[test]
    fn the_same_run_draws_the_same_bytes() {
        let first = plots(&Synthetic::full().run()).unwrap();
        let second = plots(&Synthetic::full().run()).unwrap();
        assert!(first == second);
    }
}
