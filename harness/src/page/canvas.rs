//! A sheet to draw on in pixels, by role instead of by colour, that comes out as one SVG document.
//!
//! Each role has a colour for light pages, which is written into the elements, and one for dark
//! pages, which a style sheet in the document puts in its place. So a viewer without CSS shows
//! the light colours, and a page or a viewer in dark mode shows the dark ones, standing alone or
//! set into HTML.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::text::printable;

/// Width of every plot, pixels.
pub(crate) const WIDTH: f64 = 960.0;

/// The backend draws at whole numbers; this many of them make a pixel.
const UNITS_PER_PIXEL: f64 = 10.0;

/// The SVG backend divides font sizes by this before it writes them.
const BACKEND_FONT_DIVISOR: f64 = 1.24;

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Headings and values.
    Text,
    /// Axis labels and remarks.
    Muted,
    /// Grid lines.
    Grid,
    /// Things that are there but not the point, and the shade of the noise band.
    Quiet,
    /// The recommended configuration; also the first level of a coloured axis.
    Blue,
    /// For the worse; the slowest.
    Red,
    /// For the better; the fastest.
    Green,
    /// Further categories.
    Purple,
    /// See above.
    Orange,
    /// See above.
    Cyan,
}

/// Hues told apart by people who do not see all colours, in the order categories take them.
pub(crate) const CATEGORIES: [Ink; 6] =
    [Ink::Blue, Ink::Orange, Ink::Green, Ink::Purple, Ink::Cyan, Ink::Red];

const INKS: [Ink; 10] = [
    Ink::Text,
    Ink::Muted,
    Ink::Grid,
    Ink::Quiet,
    Ink::Blue,
    Ink::Red,
    Ink::Green,
    Ink::Purple,
    Ink::Orange,
    Ink::Cyan,
];

impl Ink {
    /// Colours are distinct within each page shade, because the style sheet finds a role by its
    /// light colour.
    fn light(self) -> u32 {
        match self {
            Ink::Text => 0x1F_2933,
            Ink::Muted => 0x5B_6775,
            Ink::Grid => 0xDD_E2E8,
            Ink::Quiet => 0x8A_95A3,
            Ink::Blue => 0x1F_6FC4,
            Ink::Red => 0xC4_4536,
            Ink::Green => 0x1B_8A5A,
            Ink::Purple => 0x8A_4FBE,
            Ink::Orange => 0xC9_7A0E,
            Ink::Cyan => 0x14_8A9C,
        }
    }

    fn dark(self) -> u32 {
        match self {
            Ink::Text => 0xE8_ECF1,
            Ink::Muted => 0xA3_AFBD,
            Ink::Grid => 0x2F_3842,
            Ink::Quiet => 0x7F_8B99,
            Ink::Blue => 0x64_AEF5,
            Ink::Red => 0xF2_8B7D,
            Ink::Green => 0x52_C795,
            Ink::Purple => 0xC0_97EE,
            Ink::Orange => 0xE8_AB50,
            Ink::Cyan => 0x4C_C4D6,
        }
    }

    fn rgb(self) -> RGBColor {
        let [_, red, green, blue] = self.light().to_be_bytes();
        RGBColor(red, green, blue)
    }
}

/// Where a text stands against its point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Align {
    /// Begins at it.
    Left,
    /// Is centred on it.
    Centre,
    /// Ends at it.
    Right,
}

/// The look of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lettering {
    /// Height in pixels.
    pub size: f64,
    /// Colour.
    pub ink: Ink,
    /// Whether it is bold.
    pub bold: bool,
    /// Where it stands.
    pub align: Align,
}

/// Ordinary text of a plot.
pub(crate) const LABEL: Lettering =
    Lettering { size: 12.0, ink: Ink::Muted, bold: false, align: Align::Left };

impl Lettering {
    /// The same in another colour.
    pub(crate) const fn ink(self, ink: Ink) -> Self {
        Lettering { ink, ..self }
    }

    /// The same, bold.
    pub(crate) const fn bold(self) -> Self {
        Lettering { bold: true, ..self }
    }

    /// The same, ending at its point.
    pub(crate) const fn right(self) -> Self {
        Lettering { align: Align::Right, ..self }
    }

    /// The same, centred on its point.
    pub(crate) const fn centred(self) -> Self {
        Lettering { align: Align::Centre, ..self }
    }

    /// The same at another size.
    pub(crate) const fn size(self, size: f64) -> Self {
        Lettering { size, ..self }
    }

    /// Characters that surely fit into a width. Fonts differ between machines, so this assumes a
    /// wide one.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "widths are small and positive"
    )]
    pub(crate) fn fitting(self, width: f64) -> usize {
        let per_character = self.size * if self.bold { 0.62 } else { 0.57 };
        (width / per_character).max(1.0) as usize
    }
}

/// A symbol, so that lines are told apart without colour too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    /// ●
    Dot,
    /// ○
    Ring,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
    /// ▼
    Wedge,
}

/// The sheet.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// What a document says about itself to those who do not see it.
pub(crate) struct Document<'a> {
    /// Short name, unique in a page: ids are made from it.
    pub name: &'a str,
    /// Title, also drawn.
    pub title: &'a str,
    /// Description for screen readers.
    pub description: &'a str,
    /// Height in pixels; the width is [`WIDTH`].
    pub height: f64,
}

/// Draws a document with its title in the top left corner.
pub(crate) fn render(
    document: &Document<'_>,
    draw: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let size = (units(WIDTH).unsigned_abs(), units(document.height).unsigned_abs());
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        canvas.text((0.0, 14.0), document.title, LABEL.ink(Ink::Text).bold().size(15.0))?;
        draw(&canvas)?;
        canvas.area.present()?;
    }
    Ok(with_head(&svg, document))
}

impl Canvas<'_> {
    /// A straight line.
    pub(crate) fn line(
        &self,
        from: (f64, f64),
        to: (f64, f64),
        ink: Ink,
        width: f64,
    ) -> Result<()> {
        self.path(&[from, to], ink, width)
    }

    /// Straight lines from point to point.
    pub(crate) fn path(&self, points: &[(f64, f64)], ink: Ink, width: f64) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().map(|point| pixel(*point)).collect();
        let style = ShapeStyle::from(ink.rgb()).stroke_width(units(width).unsigned_abs());
        Ok(self.area.draw(&PathElement::new(points, style))?)
    }

    /// A dashed line.
    pub(crate) fn dashes(&self, from: (f64, f64), to: (f64, f64), ink: Ink) -> Result<()> {
        const DASH: f64 = 9.0;
        const GAP: f64 = 6.0;
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |way: f64| {
            let share = (way / length).min(1.0);
            (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
        };
        let mut way = 0.0;
        while way < length {
            self.line(at(way), at(way + DASH), ink, 1.5)?;
            way += DASH + GAP;
        }
        Ok(())
    }

    /// A filled rectangle.
    pub(crate) fn shade(
        &self,
        corner: (f64, f64),
        opposite: (f64, f64),
        ink: Ink,
        opacity: f64,
    ) -> Result<()> {
        let style = ink.rgb().mix(opacity).filled();
        Ok(self.area.draw(&Rectangle::new([pixel(corner), pixel(opposite)], style))?)
    }

    /// A symbol about `radius` around its centre.
    pub(crate) fn symbol(
        &self,
        (x, y): (f64, f64),
        radius: f64,
        symbol: Symbol,
        ink: Ink,
    ) -> Result<()> {
        let r = radius;
        let corners = |offsets: &[(f64, f64)]| -> Vec<(i32, i32)> {
            offsets.iter().map(|(dx, dy)| pixel((x + dx * r, y + dy * r))).collect()
        };
        let polygon = |offsets: &[(f64, f64)]| -> Result<()> {
            Ok(self.area.draw(&Polygon::new(corners(offsets), ink.rgb().filled()))?)
        };
        match symbol {
            Symbol::Dot => {
                Ok(self.area.draw(&Circle::new(pixel((x, y)), units(r), ink.rgb().filled()))?)
            }
            Symbol::Ring => {
                let style = ShapeStyle::from(ink.rgb()).stroke_width(units(1.5).unsigned_abs());
                Ok(self.area.draw(&Circle::new(pixel((x, y)), units(r), style))?)
            }
            Symbol::Square => {
                polygon(&[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)])
            }
            Symbol::Triangle => polygon(&[(0.0, -1.1), (1.05, 0.75), (-1.05, 0.75)]),
            Symbol::Diamond => polygon(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
            Symbol::Wedge => polygon(&[(0.0, 1.1), (1.05, -0.75), (-1.05, -0.75)]),
        }
    }

    /// A line of text whose middle lies at the point's height.
    pub(crate) fn text(&self, point: (f64, f64), text: &str, lettering: Lettering) -> Result<()> {
        let h_pos = match lettering.align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let weight = if lettering.bold { FontStyle::Bold } else { FontStyle::Normal };
        let size = lettering.size * UNITS_PER_PIXEL * BACKEND_FONT_DIVISOR;
        let colour = lettering.ink.rgb();
        let style = TextStyle::from(("sans-serif", size, weight).into_font())
            .color(&colour)
            .pos(Pos::new(h_pos, VPos::Center));
        Ok(self.area.draw_text(&printable(text), &style, pixel(point))?)
    }
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (units(x), units(y))
}

#[allow(clippy::cast_possible_truncation, reason = "sheets are small, and the cast saturates")]
fn units(pixels: f64) -> i32 {
    (pixels * UNITS_PER_PIXEL).round() as i32
}

/// Replaces the backend's opening tag by one with a name, a description and the style sheet.
fn with_head(svg: &str, document: &Document<'_>) -> String {
    let body = svg.find('>').map_or(svg, |end| &svg[end + 1..]);
    let Document { name, title, description, height } = document;
    let (title, description) = (escaped(title), escaped(description));
    let (unit_width, unit_height) = (units(WIDTH), units(*height));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plimsoll-plot\" role=\"img\" \
         width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {unit_width} {unit_height}\" \
         aria-labelledby=\"{name}-title {name}-description\">\n\
         <title id=\"{name}-title\">{title}</title>\n\
         <desc id=\"{name}-description\">{description}</desc>\n\
         <style>\n{}</style>{body}",
        style_sheet()
    )
}

/// Attribute selectors outrank the attributes they select, so the dark colours win on dark pages.
fn style_sheet() -> String {
    let mut css = String::from(
        ".plimsoll-plot { color-scheme: light dark; }\n\
         .plimsoll-plot text { font-family: system-ui, -apple-system, \"Segoe UI\", Roboto, \
         \"Helvetica Neue\", Arial, sans-serif; font-variant-numeric: tabular-nums; }\n\
         .plimsoll-plot polyline { stroke-linejoin: round; stroke-linecap: round; }\n\
         @media screen and (prefers-color-scheme: dark) {\n",
    );
    for ink in INKS {
        let (light, dark) = (ink.light(), ink.dark());
        css.push_str(&format!(
            ".plimsoll-plot [fill=\"#{light:06X}\"] {{ fill: #{dark:06X}; }} \
             .plimsoll-plot [stroke=\"#{light:06X}\"] {{ stroke: #{dark:06X}; }}\n"
        ));
    }
    css.push_str("}\n");
    css
}

fn escaped(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.1, relative luminance.
    fn luminance(colour: u32) -> f64 {
        let channel = |shift: u32| {
            let value = f64::from((colour >> shift) & 0xFF) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_marks_stand_out_on_light_and_dark_pages() {
        // 4.5 to 1 for text, 3 to 1 for graphics: WCAG 2.1, criteria 1.4.3 and 1.4.11. The grid
        // is decoration, and the quiet ink is always backed by a label.
        for ink in INKS.into_iter().filter(|ink| !matches!(ink, Ink::Grid | Ink::Quiet)) {
            let needed = if matches!(ink, Ink::Text | Ink::Muted) { 4.5 } else { 3.0 };
            assert!(contrast(ink.light(), 0xFF_FFFF) >= needed, "{ink:?} on white");
            assert!(contrast(ink.dark(), 0x14_1A21) >= needed, "{ink:?} on dark");
        }
    }

    #[test]
    fn every_ink_is_its_own_colour() {
        for (index, ink) in INKS.into_iter().enumerate() {
            assert!(INKS[..index].iter().all(|other| other.light() != ink.light()));
        }
    }

    #[test]
    fn what_a_document_says_is_escaped() {
        let document =
            Document { name: "n", title: "<b>&\u{1b}", description: "]]>", height: 50.0 };
        let svg = render(&document, |_| Ok(())).unwrap();
        assert!(svg.contains("<title id=\"n-title\">&lt;b&gt;&amp;\u{fffd}</title>"), "{svg}");
        assert!(svg.contains("]]&gt;</desc>"));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), 1);
    }
}
