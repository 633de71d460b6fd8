//! JUnit XML, which every CI system reads: one case for each thing that was judged. A regression is
//! a failure; what could not be judged is skipped, so that it is seen and does not turn red.

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing got worse.
    Passed,
    /// It did.
    Failed,
    /// Nobody can tell.
    Inconclusive,
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Group, such as a configuration.
    pub class: String,
    /// Name within the group.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The finding in one sentence.
    pub sentence: String,
}

/// A report of one suite.
///
/// # Errors
/// When a text cannot be written as XML.
pub(crate) fn junit_xml(suite: &str, cases: &[Case]) -> Result<String> {
    let mut tests = TestSuite::new(suite);
    for case in cases {
        let mut status = match case.outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Outcome::Inconclusive => TestCaseStatus::skipped(),
        };
        if case.outcome != Outcome::Passed {
            status.set_message(case.sentence.as_str());
        }
        let mut test = TestCase::new(case.name.as_str(), status);
        test.set_classname(case.class.as_str());
        if case.outcome == Outcome::Passed {
            test.set_system_out(case.sentence.as_str());
        }
        tests.add_test_case(test);
    }
    let mut report = Report::new("plimsoll");
    report.add_test_suite(tests);
    report.to_string().context("the JUnit report cannot be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_skips_are_counted_and_texts_escaped() {
        let case = |name: &str, outcome| Case {
            class: "c<00>".to_owned(),
            name: name.to_owned(),
            outcome,
            sentence: "5 % & \"more\" < all".to_owned(),
        };
        let cases = [
            case("rate", Outcome::Failed),
            case("p50", Outcome::Passed),
            case("p99", Outcome::Inconclusive),
        ];
        let xml = junit_xml("compare", &cases).expect("XML");
        assert!(xml.contains("tests=\"3\"") && xml.contains("failures=\"1\""), "{xml}");
        assert!(xml.contains("skipped=\"1\"") || xml.contains("disabled=\"1\""), "{xml}");
        assert!(!xml.contains("c<00>") && xml.contains("c&lt;00&gt;"), "{xml}");
        assert!(xml.contains("&amp; &quot;more&quot; &lt; all"), "{xml}");
        // No clock is read: the same comparison gives the same bytes.
        assert_eq!(junit_xml("compare", &cases).expect("XML"), xml);
    }
}
