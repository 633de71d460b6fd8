//! The driver against what theory says of the device it drives. No real clock and no real disk.

use super::simulated::{SimulatedDevice, m_d_1_quantile_ns};
use super::*;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn quantile_ns(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64
}

#[test]
fn the_known_queue_is_known() {
    // G. M. Gross, J. F. Shortle et al., tables of M/D/1: no wait at all has probability 1 - ρ.
    let service = 1_000.0;
    assert!((m_d_1_quantile_ns(500_000.0, service, 0.5) - service).abs() < 1.0);
    // One service time of waiting: (1 - ρ)e^ρ.
    let share = 0.5 * 0.5_f64.exp();
    let waited = m_d_1_quantile_ns(500_000.0, service, share - 1e-9) - service;
    assert!(waited < 1_000.5 && waited > 990.0, "{waited}");
}

#[test]
fn poisson_arrivals_at_a_fixed_service_time_are_the_known_queue() {
    let device = SimulatedDevice::serving_in(100 * US);
    for (load, seed) in [(0.3, 1), (0.5, 2), (0.7, 3), (0.8, 4)] {
        let rate = load * 10_000.0;
        let found = device.offered(rate, seed, (SECOND, 30 * SECOND));
        assert_eq!(found.pace(), Pace::Kept, "{load}");
        for quantile in [0.9, 0.99] {
            let exact = m_d_1_quantile_ns(rate, 100_000.0, quantile);
            let error = quantile_ns(&found.latency_ns, quantile) / exact - 1.0;
            assert!(error.abs() < 0.05, "{load} at {quantile}: {error:+.4}");
        }
    }
}

/// One stall of 100 ms in 10 s at 2,000 records a second hits 200 of 20,000. Who comes t ms into it
/// waits for the rest and for 2t records of 0.1 ms each, 100 - 0.8t ms; the 20 of p99.9 are those
/// that came within 10 ms, so that p99.9 is 92 ms.
#[test]
fn a_stall_of_100_ms_is_charged_to_everyone_who_would_have_waited() {
    let calm = SimulatedDevice::serving_in(100 * US);
    let stalled =
        SimulatedDevice { stall_ns: Some((5 * SECOND, 5 * SECOND + 100 * MS)), ..calm.clone() };
    let p999_of = |device: &SimulatedDevice, part: fn(&Answers) -> &Histogram<u64>| {
        quantile_ns(part(&device.offered(2_000.0, 7, (SECOND, 10 * SECOND))), 0.999)
    };
    let latency: fn(&Answers) -> &Histogram<u64> = |answers| &answers.latency_ns;
    assert!(p999_of(&calm, latency) < 1e6, "nothing to see without it");
    let p999 = p999_of(&stalled, latency);
    assert!((p999 / 92e6 - 1.0).abs() < 0.05, "{p999}");

    // The trap itself: where the caller is held, the records behind the stall are handed over late,
    // and measured from then on only one of 20,000 has seen it.
    let holding = SimulatedDevice { holds_its_caller: true, ..stalled };
    let service: fn(&Answers) -> &Histogram<u64> = |answers| &answers.service_ns;
    assert!(p999_of(&holding, service) < 1e6, "omitted");
    let p999 = p999_of(&holding, latency);
    assert!((p999 / 92e6 - 1.0).abs() < 0.05, "{p999}");
}

#[test]
fn a_log_that_cannot_keep_up_is_behind_and_one_that_holds_its_caller_says_so() {
    let device = SimulatedDevice::serving_in(100 * US);
    let spans = (SECOND, 5 * SECOND);
    let behind = device.offered(12_000.0, 1, spans).pace();
    let Pace::Behind { achieved_ratio } = behind else { panic!("{behind:?}") };
    assert!((achieved_ratio - 10.0 / 12.0).abs() < 0.02, "{achieved_ratio}");
    // 2 % too much: 97 % is achieved all the same, and the queue grows without end.
    let growing = device.offered(10_200.0, 1, (SECOND, 20 * SECOND)).pace();
    assert!(matches!(growing, Pace::Growing { .. }), "{growing:?}");
    let holding = SimulatedDevice { holds_its_caller: true, ..device.clone() };
    let held_up = holding.offered(5_000.0, 1, spans).pace();
    assert!(matches!(held_up, Pace::HeldUp { .. }), "{held_up:?}");
}

#[test]
fn the_same_seed_offers_the_same_load() {
    let device = SimulatedDevice::serving_in(50 * US);
    let found = [3, 3, 4].map(|seed| device.offered(4_000.0, seed, (0, SECOND)).latency_ns);
    assert!(found[0] == found[1] && found[0] != found[2]);
}
