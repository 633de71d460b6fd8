//! The JSON that benchmark trackers take. Formats, as their projects document them:
//! github-action-benchmark, `customBiggerIsBetter` and `customSmallerIsBetter`
//! (<https://github.com/benchmark-action/github-action-benchmark>), and the Bencher Metric Format
//! (<https://bencher.dev/docs/reference/bencher-metric-format>).

use serde_json::{Map, Value, json};

use crate::store::quantity::Quantity;
use crate::store::schema::Estimate;

/// One number to publish.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    /// What was measured: profile and configuration.
    pub benchmark: String,
    /// Which number of it.
    pub quantity: Quantity,
    /// The number with its interval.
    pub value: Estimate,
}

/// The array that github-action-benchmark takes: of the numbers of which more is better, or of the
/// others, because the action wants them in two files.
pub(crate) fn github_action_benchmark(published: &[Published], bigger_is_better: bool) -> Value {
    let wanted = published.iter().filter(|one| one.quantity.bigger_is_better() == bigger_is_better);
    wanted
        .map(|one| {
            let Estimate { value, low, high } = one.value;
            json!({
                "name": format!("{}: {}", one.benchmark, one.quantity.name()),
                "unit": one.quantity.unit(),
                "value": value,
                "range": format!("± {}", (high - low) / 2.0),
                "extra": format!("95 % interval {low} to {high}"),
            })
        })
        .collect()
}

/// Bencher Metric Format: by benchmark, then by measure.
pub(crate) fn bencher(published: &[Published]) -> Value {
    let mut benchmarks = Map::new();
    for one in published {
        let measures = benchmarks.entry(one.benchmark.clone()).or_insert_with(|| json!({}));
        let Estimate { value, low, high } = one.value;
        measures[one.quantity.slug()] =
            json!({ "value": value, "lower_value": low, "upper_value": high });
    }
    Value::Object(benchmarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Vec<Published> {
        let one = |benchmark: &str, quantity, value| Published {
            benchmark: benchmark.to_owned(),
            quantity,
            value: Estimate { value, low: value - 1.0, high: value + 3.0 },
        };
        vec![
            one("quick/a", Quantity::Rate, 100.0),
            one("quick/a", Quantity::P99, 50.0),
            one("quick/b", Quantity::Rate, 200.0),
        ]
    }

    #[test]
    fn github_action_benchmark_gets_what_its_two_tools_take() {
        let bigger = github_action_benchmark(&published(), true);
        let expected = json!([
            { "name": "quick/a: rate", "unit": "commits/s", "value": 100.0, "range": "± 2",
              "extra": "95 % interval 99 to 103" },
            { "name": "quick/b: rate", "unit": "commits/s", "value": 200.0, "range": "± 2",
              "extra": "95 % interval 199 to 203" },
        ]);
        assert_eq!(bigger, expected);
        let smaller = github_action_benchmark(&published(), false);
        assert_eq!(smaller.as_array().map(Vec::len), Some(1));
        assert_eq!(smaller[0]["name"], "quick/a: p99 latency");
    }

    #[test]
    fn bencher_gets_its_metric_format() {
        let expected = json!({
            "quick/a": {
                "rate-per-second": { "value": 100.0, "lower_value": 99.0, "upper_value": 103.0 },
                "latency-p99-us": { "value": 50.0, "lower_value": 49.0, "upper_value": 53.0 },
            },
            "quick/b": {
                "rate-per-second": { "value": 200.0, "lower_value": 199.0, "upper_value": 203.0 },
            },
        });
        assert_eq!(bencher(&published()), expected);
    }
}
