//! What a screening found, where a run had one: which settings were worth the time, and where the
//! others were held.

use maud::{Markup, html};

use super::evidence::{Ratios, ratio_table};
use crate::page::scrolling;
use crate::page::text::printable;
use crate::store::schema::{Manifest, ScreenedAxis, Screening};

/// The section; nothing for a run without a screening.
pub(super) fn screening(manifest: &Manifest) -> Markup {
    html! {
        @if let Some(screening) = &manifest.screening { (section(screening)) }
    }
}

fn section(screening: &Screening) -> Markup {
    html! {
        section #screening aria-labelledby="screening-heading" {
            h2 #screening-heading { "What was screened first" }
            p {
                "Every combination would have taken longer than the time given. "
                (printable(&screening.design))
                " A setting that acts only together with another one may have passed unnoticed, and "
                "of numbers only the first and the last level were compared."
            }
            @if screening.axes.is_empty() {
                p.empty { "The run ended before its screening was through." }
            } @else {
                dl.sentences {
                    @for axis in &screening.axes {
                        div {
                            dt {
                                code { (printable(&axis.axis)) }
                                @if axis.held_at.is_none() { " " span.badge { "varied" } }
                            }
                            dd { (printable(&axis.sentence)) }
                        }
                    }
                }
                (scrolling("What the screening found", &table(&screening.axes)))
            }
        }
    }
}

fn table(axes: &[ScreenedAxis]) -> Markup {
    ratio_table(axes.iter().map(|axis| Ratios {
        axis: &axis.axis,
        levels: &axis.levels,
        baseline: axis.levels.first().map_or("", |level| &level.level),
        baseline_words: "what the others are compared with",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::point;
    use crate::store::schema::LevelEffect;
    use crate::store::synthetic::SyntheticRun;

    #[test]
    fn each_axis_is_told_with_what_became_of_it() {
        let mut manifest = SyntheticRun::small().manifest;
        assert_eq!(screening(&manifest).into_string(), "");
        let level = |name: &str, ratio: f64| LevelEffect {
            level: name.to_owned(),
            rate_ratio: Some(point(ratio)),
            p99_ratio: None,
        };
        let axis = |name: &str, held_at: Option<&str>| ScreenedAxis {
            axis: name.to_owned(),
            levels: vec![level("a", 1.0), level("<b>", 1.25)],
            held_at: held_at.map(str::to_owned),
            sentence: format!("{name} was screened."),
        };
        let mut found = Screening {
            design: "A design.".to_owned(),
            plan: manifest.plan.clone(),
            plan_sha256: String::new(),
            axes: Vec::new(),
        };
        manifest.screening = Some(found.clone());
        assert!(screening(&manifest).into_string().contains("before its screening was through"));
        found.axes = vec![axis("engine", None), axis("alignment", Some("a"))];
        manifest.screening = Some(found);
        let html = screening(&manifest).into_string();
        for part in ["A design.", "engine was screened.", "alignment was screened.", "1.25"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert_eq!(html.matches("varied</span>").count(), 1, "{html}");
        assert!(html.contains("&lt;b&gt;") && !html.contains("<b>"), "{html}");
    }
}
