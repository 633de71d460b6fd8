//! Properties of what profiles are made of, over values and texts drawn at random: 6,000 cases.

use proptest::prelude::*;

use crate::profile::{Profile, SettingKey};
use crate::units::{format_bytes, format_duration_us, parse_bytes, parse_duration_us};

fn tries() -> ProptestConfig {
    ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..5_000_u64, (0..64_u32).prop_map(|bits| 1 << bits)]
}

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn a_quantity_that_was_printed_reads_back_as_it_was(number in number()) {
        prop_assert_eq!(parse_bytes(&format_bytes(number)), Ok(number));
        let duration_us = number / 1_000;
        prop_assert_eq!(parse_duration_us(&format_duration_us(duration_us)), Ok(duration_us));
    }

    /// What is read from any text is printed and read again as the same.
    #[test]
    fn a_quantity_from_any_text_is_exact_or_refused(
        text in prop_oneof!["\\PC{0,24}", "[0-9]{1,22}(\\.[0-9]{1,22})?[a-zA-Z]{0,4}"],
    ) {
        if let Ok(bytes) = parse_bytes(&text) {
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }
        if let Ok(duration_us) = parse_duration_us(&text) {
            prop_assert_eq!(parse_duration_us(&format_duration_us(duration_us)), Ok(duration_us));
        }
    }

    /// A level of an axis is taken for exactly what it says, or refused with its place.
    #[test]
    fn a_level_reads_back_as_it_is_spelled(
        key in proptest::sample::select(SettingKey::ALL.to_vec()),
        value in prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            "\"[0-9]{1,7}(B|KiB|MiB|us|ms|s|kB)\"",
            proptest::sample::select(vec!["true", "\"auto\"", "\"uring\"", "\"zero\"", "\"dsync\""])
                .prop_map(str::to_owned),
        ],
    ) {
        let text = |value: &str| format!(
            "name = \"p\"\ndescription = \"d\"\ncost = \"c\"\nsnia_steady_state = false\n\
             [run]\ntrial = \"1s\"\nwarmup = \"0\"\nblocks = 2\nmin_blocks = 1\n[axes]\n{} = [{value}]\n",
            key.name()
        );
        match Profile::parse("p.toml".as_ref(), &text(&value)) {
            Ok(profile) => {
                let plan = profile.plan(1);
                let spelled = &plan.axes[0].levels[0];
                let quoted = if spelled.parse::<u64>().is_ok() || ["true", "false"].contains(&spelled.as_str()) {
                    spelled.clone()
                } else {
                    format!("{spelled:?}")
                };
                let again = Profile::parse("p.toml".as_ref(), &text(&quoted)).expect("its own spelling");
                prop_assert_eq!(again.plan(1), plan);
            }
            Err(error) => prop_assert!(error.to_string().starts_with("p.toml:11:"), "{error}"),
        }
    }
}
