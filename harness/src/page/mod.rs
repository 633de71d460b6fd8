//! What pages and plots are made of: sheets to draw on, axes, numbers as people read them, and the
//! frame of a page that opens offline. Knows nothing of what is shown; the verbs do.

pub(crate) mod canvas;
pub(crate) mod grid;
pub(crate) mod scale;
pub(crate) mod text;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use text::printable;

const STYLE: &str = include_str!("style.css");

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

/// A whole page that carries everything it needs and runs no script.
pub(crate) fn whole_page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (printable(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// The plot in a box that scrolls sideways on a narrow screen, with its caption.
pub(crate) fn figure(plot: &Plot) -> Markup {
    html! {
        figure {
            (scrolling(&plot.title, &PreEscaped(plot.svg.clone())))
            figcaption { (printable(&plot.caption)) }
        }
    }
}

/// Wide content in its own box, reachable by keyboard.
pub(crate) fn scrolling(label: &str, content: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(printable(label)) tabindex="0" { (content) }
    }
}
