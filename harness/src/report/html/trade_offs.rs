//! What can be traded for what: the configurations on the front, where it bends, which settings
//! depend on each other, and from which load on a commit window can help.

use maud::{Markup, html};

use super::super::view::{View, usable};
use crate::page::text::{optional_number, printable};
use crate::page::{Plot, figure, scrolling};
use crate::store::schema::{Analysis, FrontPoint, Interactions};
use crate::units::{format_bytes, format_rate, format_us};

/// Configurations of the front that are shown at once; the rest are a click away.
const SHOWN: usize = 12;

/// The section.
pub(super) fn trade_offs(view: &View<'_>, plot: Option<&Plot>) -> Markup {
    let analysis = view.run.analysis;
    html! {
        section #trade-offs aria-labelledby="trade-offs-heading" {
            h2 #trade-offs-heading { "What can be traded for what" }
            @if let Some(plot) = plot { (figure(plot)) }
            (front(view, analysis))
            @if let Some(knee) = &analysis.knee {
                p { "Where the front bends: " (printable(&knee.sentence)) }
            }
            @if let Some(interactions) = &analysis.interactions { (depending(interactions)) }
            @if let Some(rate) = usable(analysis.window_helps_from_per_second) {
                p {
                    "A commit window can help from about " (format_rate(rate))
                    " arrivals on, that is, with less than " (format_us(1e6 / rate))
                    " (2/F0) between them: below that it finds nobody to wait for."
                }
            }
        }
    }
}

fn front(view: &View<'_>, analysis: &Analysis) -> Markup {
    let mut points: Vec<&FrontPoint> =
        analysis.front.iter().filter(|point| point.on_front).collect();
    points.sort_by(|a, b| b.rate_per_second.total_cmp(&a.rate_per_second));
    let (first, rest) = points.split_at(points.len().min(SHOWN));
    html! {
        @if points.is_empty() {
            p.empty { "No configuration could be held against the others." }
        } @else {
            p {
                (points.len()) " of " (analysis.front.len()) " configurations are on the front: one of \
                these is clearly better than each of the others in something, and seems worse in \
                nothing."
            }
            (scrolling("The Pareto front", &table(view, first)))
            @if !rest.is_empty() {
                details {
                    summary { (rest.len()) " more of the front" }
                    (scrolling("The rest of the Pareto front", &table(view, rest)))
                }
            }
        }
    }
}

fn table(view: &View<'_>, points: &[&FrontPoint]) -> Markup {
    let row_of = |id: &str| view.rows.iter().position(|row| row.configuration.id == id);
    html! {
        table.data {
            thead { tr {
                th scope="col" { "Id" }
                th scope="col" { "Against the baseline" }
                th.number scope="col" { "Commits/s" }
                th.number scope="col" { "p99 µs" }
                th.number scope="col" { "p99.9 µs" }
                th.number scope="col" { "Bytes per payload byte" }
                th.number scope="col" { "CPU µs per commit" }
                th.number scope="col" { "Buffers" }
            } }
            tbody {
                @for point in points {
                    @let index = row_of(&point.config_id);
                    @let recommended = index.is_some() && index == view.recommended;
                    tr class=[recommended.then_some("recommended")] {
                        th scope="row" { (printable(&point.config_id)) }
                        td.reason { (index.map(|index| view.description(index)).unwrap_or_default()) }
                        td.number { (optional_number(usable(Some(point.rate_per_second)))) }
                        td.number { (optional_number(usable(point.p99_us))) }
                        td.number { (optional_number(usable(point.p999_us))) }
                        td.number { (optional_number(usable(Some(point.device_bytes_per_payload_byte)))) }
                        td.number { (optional_number(usable(Some(point.cpu_us_per_commit)))) }
                        td.number { (format_bytes(point.memory_bytes)) }
                    }
                }
            }
        }
    }
}

fn depending(interactions: &Interactions) -> Markup {
    html! {
        h3 { "What depends on what" }
        @if interactions.found.is_empty() {
            p {
                "None of " (interactions.tested) " pairs of levels was found to depend on each other \
                beyond what noise explains: each setting can be judged by itself."
            }
        } @else {
            ul {
                @for found in &interactions.found { li { (printable(&found.sentence)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;
    use crate::store::schema::{Estimate, Interaction, Knee};

    fn section(synthetic: &Synthetic) -> String {
        trade_offs(&View::new(synthetic.run()), None).into_string()
    }

    #[test]
    fn the_front_the_knee_and_the_interactions_are_told() {
        let mut run = Synthetic::small();
        let plain = section(&run);
        let on_front = run.analysis.front.iter().filter(|point| point.on_front).count();
        assert!(on_front > 0 && on_front < run.analysis.front.len(), "{:?}", run.analysis.front);
        assert!(plain.contains(&format!("{on_front} of 4 configurations")), "{plain}");
        assert_eq!(plain.matches("scope=\"row\"").count(), on_front, "{plain}");
        assert_eq!(plain.matches("recommended").count(), 1, "{plain}");
        assert!(plain.contains("(2/F0)"), "{plain}");

        run.analysis.knee = Some(Knee {
            config_id: "c01".to_owned(),
            fastest_id: "c00".to_owned(),
            rate_ratio: 0.9,
            p99_ratio: 0.5,
            steep: true,
            sentence: "a bend & more".to_owned(),
        });
        let mut interactions = Interactions { tested: 2, found: Vec::new() };
        run.analysis.interactions = Some(interactions.clone());
        let none = section(&run);
        assert!(none.contains("a bend &amp; more") && none.contains("None of 2 pairs"), "{none}");
        interactions.found.push(Interaction {
            axis: "engine".to_owned(),
            level: "uring".to_owned(),
            other_axis: "encryption".to_owned(),
            other_level: "true".to_owned(),
            metric: "rate".to_owned(),
            ratio_at_baseline: 1.0,
            ratio_at_other_level: 1.2,
            interaction_ratio: Estimate { value: 1.2, low: 1.1, high: 1.3 },
            adjusted_p: 0.01,
            sentence: "engine depends on <encryption>".to_owned(),
        });
        run.analysis.interactions = Some(interactions);
        assert!(section(&run).contains("<li>engine depends on &lt;encryption&gt;</li>"));
    }

    #[test]
    fn a_run_of_version_1_0_has_no_front_and_that_is_said() {
        let mut run = Synthetic::small();
        run.analysis.front.clear();
        run.analysis.window_helps_from_per_second = None;
        let html = section(&run);
        assert!(html.contains("could be held against") && !html.contains("F0"), "{html}");
    }
}
