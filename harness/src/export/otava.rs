//! A history as Apache Otava takes it: a CSV with a column for each number, and the test
//! definition that says which way each is better
//! (<https://github.com/apache/otava/blob/master/docs/CSV.md>).

use std::fmt::Write as _;

use crate::store::quantity::Quantity;

/// One row of the history.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// When it was measured, RFC 3339.
    pub time: String,
    /// What was measured: version and commit.
    pub commit: String,
    /// Which run it was.
    pub run: String,
    /// The numbers, in the order of the columns.
    pub values: Vec<f64>,
}

/// A column: what was measured, and which number of it.
pub(crate) type Column = (String, Quantity);

/// The CSV. Otava knows no missing number, so each column has one in every row.
pub(crate) fn otava_csv(columns: &[Column], points: &[Point]) -> String {
    let mut text = String::from("time,commit,run");
    for column in columns {
        let _ = write!(text, ",{}", quoted(&name(column)));
    }
    text.push('\n');
    for point in points {
        let (commit, run) = (quoted(&point.commit), quoted(&point.run));
        let _ = write!(text, "{},{commit},{run}", quoted(&point.time));
        for value in &point.values {
            let _ = write!(text, ",{value}");
        }
        text.push('\n');
    }
    text
}

/// `otava.yaml` for that CSV, which Otava is to find at `csv_path`.
pub(crate) fn otava_config(test: &str, csv_path: &str, columns: &[Column]) -> String {
    let mut text = format!(
        "# otava analyze {test} --config-file THIS_FILE\ntests:\n  {}:\n    type: csv\n    \
         file: {}\n    time_column: time\n    attributes: [commit, run]\n    metrics:\n",
        yaml(test),
        yaml(csv_path)
    );
    for column in columns {
        let direction = if column.1.bigger_is_better() { 1 } else { -1 };
        let name = yaml(&name(column));
        let _ =
            write!(text, "      {name}:\n        column: {name}\n        direction: {direction}\n");
    }
    text
}

fn name((benchmark, quantity): &Column) -> String {
    format!("{benchmark} {}", quantity.slug())
}

/// RFC 4180.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A double-quoted scalar, whose escapes are those of JSON (YAML 1.2, section 7.3.1).
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![("all, mean".to_owned(), Quantity::Rate), ("c00".to_owned(), Quantity::P99)]
    }

    #[test]
    fn the_csv_has_a_row_for_each_point() {
        let point = Point {
            time: "2026-01-02T03:04:05Z".to_owned(),
            commit: "0.1.0 (abc) release".to_owned(),
            run: "night \"1\"".to_owned(),
            values: vec![12.5, 100.0],
        };
        let expected = "time,commit,run,\"all, mean rate-per-second\",c00 latency-p99-us\n\
                        2026-01-02T03:04:05Z,0.1.0 (abc) release,\"night \"\"1\"\"\",12.5,100\n";
        assert_eq!(otava_csv(&columns(), &[point]), expected);
    }

    #[test]
    fn the_test_definition_says_which_way_is_better() {
        let text = otava_config("nightly", "history.csv", &columns());
        assert!(text.contains("  \"nightly\":\n    type: csv\n    file: \"history.csv\"\n"));
        let rate = "      \"all, mean rate-per-second\":\n        \
                    column: \"all, mean rate-per-second\"\n        direction: 1\n";
        assert!(text.contains(rate), "{text}");
        assert!(text.contains("latency-p99-us\"\n        direction: -1\n"), "{text}");
    }
}
