//! A small table, as plain lines for a terminal or a log, and as Markdown for a pull request.

/// Rows of as many cells as there are headings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new<const N: usize>(headings: [&'static str; N]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing stay empty.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let mut cells = Vec::from(cells);
        cells.resize(self.headings.len(), String::new());
        self.rows.push(cells);
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns padded with spaces, two apart, each line indented by two and without trailing ones.
    pub(crate) fn text(&self) -> String {
        let headings = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&headings).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| lines.iter().map(|line| length(&line[column])).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for line in lines {
            let mut padded = String::from(" ");
            for (cell, width) in line.iter().zip(&widths) {
                padded.push(' ');
                padded.push_str(cell);
                padded.push_str(&" ".repeat(width - length(cell) + 1));
            }
            text.push_str(padded.trim_end());
            text.push('\n');
        }
        text
    }

    /// A table of GitHub's Markdown.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            let cells: Vec<String> = cells.collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&mut self.headings.iter().map(|heading| (*heading).to_owned()));
        text.push_str(&line(&mut self.headings.iter().map(|_| "---".to_owned())));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(|cell| escaped(cell))));
        }
        text
    }
}

/// Text whose punctuation Markdown does not take for its own.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

fn length(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["metric", "change", ""]);
        table.row(["rate".to_owned(), "−5.0 %".to_owned(), "slower".to_owned()]);
        table.row(["p50 | latency".to_owned(), "0.0 %".to_owned()]);
        table
    }

    #[test]
    fn columns_line_up_and_no_line_ends_in_spaces() {
        let expected =
            "  metric         change\n  rate           −5.0 %  slower\n  p50 | latency  0.0 %\n";
        assert_eq!(table().text(), expected);
    }

    #[test]
    fn markdown_has_a_rule_and_escapes_what_would_end_a_cell() {
        let expected = "| metric | change |  |\n| --- | --- | --- |\n| rate | −5.0 % | slower |\n\
                        | p50 \\| latency | 0.0 % |  |\n";
        assert_eq!(table().markdown(), expected);
    }
}
