//! `report.html`: one page that carries everything it needs and runs no script.
//!
//! The first screen is the decision: what was measured, what to run, how sure that is. The
//! evidence follows, and what only a doubter or a repeater needs comes last.

mod appendix;
mod capacity;
mod evidence;
mod screening;
mod summary;
mod trade_offs;

use maud::html;

use super::Run;
use super::view::View;
use crate::page::{Plot, whole_page};

pub(super) use capacity::capacity_html;

/// The page. `plots` are those of the same run; one that is missing is passed over.
pub(crate) fn report_html(run: &Run<'_>, plots: &[Plot]) -> String {
    let view = View::new(*run);
    let title = format!(
        "{} on {}: Plimsoll report",
        run.manifest.profile_name, run.manifest.environment_before.hostname
    );
    let plot = |file_name: &str| plots.iter().find(|plot| plot.file_name == file_name);
    let body = html! {
        (summary::header(&view))
        main {
            (summary::decision(&view))
            (screening::screening(run.manifest))
            (trade_offs::trade_offs(&view, plot("front.svg")))
            (evidence::effects(&view, plot("effects.svg"), plot("pairs.svg")))
            (evidence::throughput(&view, plot("throughput.svg")))
            (evidence::latency(plot("latency.svg"), plot("over-time.svg")))
            (evidence::rounds(&view, plot("rounds.svg"), plot("settling.svg")))
            (evidence::configurations(&view))
            (appendix::environment(run.manifest))
            (appendix::reproduce(run.manifest))
            (appendix::glossary())
        }
    };
    whole_page(&title, &body)
}

#[cfg(test)]
mod tests {
    use super::super::plots::plots;
    use super::super::synthetic::Synthetic;
    use super::*;

    fn page(synthetic: &Synthetic) -> String {
        let run = synthetic.run();
        report_html(&run, &plots(&run).unwrap())
    }

    #[test]
    fn every_kind_of_run_gives_a_whole_offline_page() {
        for (name, synthetic) in Synthetic::every_kind() {
            let html = page(&synthetic);
            assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{name}");
            assert!(html.ends_with("</html>"), "{name}");
            assert_eq!(html.matches("<h1").count(), 1, "{name}");
            assert!(!html.contains("NaN"), "{name}");
            for loads in ["<script", "src=", "url(", "@import", "<link", "https://"] {
                assert!(!html.contains(loads), "{name} has {loads}");
            }
            let outside = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            assert!(!outside.contains("http://"), "{name}");
        }
    }

    #[test]
    fn hostile_strings_stay_text() {
        let html = page(&Synthetic::hostile_strings());
        assert!(html.contains("&lt;script&gt;alert('x')&lt;/script&gt;"));
        assert!(!html.contains("<script") && !html.contains("</script"));
        assert!(!html.contains("\u{1b}") && !html.contains('\0'));
        // The profile's text must not close the element it stands in.
        assert_eq!(html.matches("</pre>").count(), html.matches("<pre").count());
    }

    #[test]
    fn elements_balance_and_headings_have_a_scope() {
        for (name, synthetic) in Synthetic::every_kind() {
            let html = page(&synthetic);
            for element in
                ["section", "table", "tr", "td", "th", "div", "p", "ul", "li", "dl", "details"]
            {
                let opened = html.matches(&format!("<{element}>")).count()
                    + html.matches(&format!("<{element} ")).count();
                assert_eq!(
                    opened,
                    html.matches(&format!("</{element}>")).count(),
                    "{name}: {element}"
                );
            }
            assert_eq!(html.matches("<th ").count(), html.matches(" scope=\"").count(), "{name}");
            assert_eq!(html.matches("<th>").count(), 0, "{name}");
        }
    }

    #[test]
    fn ids_are_unique_and_links_lead_somewhere() {
        let html = page(&Synthetic::full());
        let ids: Vec<&str> =
            html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{id} twice");
        }
        for target in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ids.contains(&target), "{target} leads nowhere");
        }
        let (_, nav) = html.split_once("<nav").expect("a list of sections");
        let (nav, _) = nav.split_once("</nav>").expect("and its end");
        for id in ids {
            assert!(nav.matches(&format!("\"#{id}\"")).count() <= 1, "{id} is listed twice");
        }
    }

    #[test]
    fn the_same_run_gives_the_same_page() {
        assert!(page(&Synthetic::full()) == page(&Synthetic::full()));
    }
}
