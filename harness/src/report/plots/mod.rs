//! The plots of a report, as SVG text: throughput, effects, latency and rounds.
//!
//! Each file draws one plot from the [`View`]; `canvas` knows colours and SVG, `scale` knows axes.
//! A plot with nothing to show is left out rather than drawn empty.

mod canvas;
mod effects;
mod load_latency;
mod rounds;
mod scale;
mod spectrum;
mod throughput;

use anyhow::{Context, Result};

use super::Run;
use super::view::View;

pub(super) use load_latency::{FILE_NAME as LOAD_LATENCY, plot as load_latency};

/// Every plot of a sweep there can be, in the order a report shows them.
pub(super) const FILE_NAMES: [&str; 4] =
    ["effects.svg", "throughput.svg", "latency.svg", "rounds.svg"];

/// One plot, ready to be written to a file or set into a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plot {
    /// Name within the run's `plots` folder, `.svg` included.
    pub file_name: &'static str,
    /// Heading.
    pub title: String,
    /// A whole SVG document with a transparent background, for light and dark pages.
    pub svg: String,
    /// How to read it, one or two sentences.
    pub caption: String,
}

/// Every plot the run has data for, in the order a report shows them. The same run gives the
/// same bytes.
///
/// # Errors
/// Only when the SVG backend refuses to draw, which says which plot it was.
pub(crate) fn plots(run: &Run<'_>) -> Result<Vec<Plot>> {
    let view = View::new(*run);
    let drawn = [
        effects::plot(&view).context("cannot draw the effects plot")?,
        throughput::plot(&view).context("cannot draw the throughput plot")?,
        spectrum::plot(&view).context("cannot draw the latency plot")?,
        rounds::plot(&view).context("cannot draw the rounds plot")?,
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
