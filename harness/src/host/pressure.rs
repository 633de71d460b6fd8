//! How busy the machine is besides us: sampled before and after a trial, the difference says
//! whether other load disturbed it, and what the trial itself cost in processor time.

use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::Sysfs;

/// Share of stolen processor time from which a measurement counts as disturbed. A tick of the kernel's
/// clock is 4 % of a trial of 120 ms on two processors, so less would be a single rounding.
const STEAL_RATIO_DISTURBED: f64 = 0.05;

/// Looks at the run queue after a measurement. What runs in all of them is a load; what runs in one is
/// the machine's own housekeeping.
const RUN_QUEUE_LOOKS: u32 = 3;
const RUN_QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// Counters at one moment. Those the kernel does not give are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pressure {
    /// Runnable tasks on the whole machine, the sampling thread excluded.
    pub other_runnable: Option<u64>,
    /// Processor time of all kinds since boot, in kernel ticks summed over processors.
    pub total_ticks: Option<u64>,
    /// Of that, taken by the hypervisor for others.
    pub steal_ticks: Option<u64>,
    /// User and system seconds of this process so far.
    pub cpu_seconds: Option<f64>,
    /// Voluntary and involuntary context switches of this process so far.
    pub context_switches: Option<u64>,
}

/// What lay between two samples; 0 where the kernel does not say, as the stored result has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PressureChange {
    /// Share of the machine's processor time that was stolen, 0 to 1.
    pub steal_ratio: f64,
    /// Runnable tasks besides the sampling thread at the later sample.
    pub other_runnable: f64,
    /// User and system seconds this process spent.
    pub cpu_seconds: f64,
    /// Context switches of this process.
    pub context_switches: u64,
}

impl Pressure {
    /// Samples now. The run queue is a snapshot of the whole machine, our own other threads
    /// included: sample once the trial's clients have stopped.
    pub(crate) fn sample() -> Self {
        let stat = Sysfs::of_this_machine().read("proc/stat").unwrap_or_default();
        let mut sample = parse_stat(&stat);
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            sample.cpu_seconds = Some(seconds(usage.user_time()) + seconds(usage.system_time()));
            let switches = usage
                .voluntary_context_switches()
                .saturating_add(usage.involuntary_context_switches());
            sample.context_switches = u64::try_from(switches).ok();
        }
        sample
    }

    /// What happened since `earlier`. Counters that ran backwards count as 0.
    pub(crate) fn since(&self, earlier: &Self) -> PressureChange {
        let ticks = difference(self.total_ticks, earlier.total_ticks);
        let stolen = difference(self.steal_ticks, earlier.steal_ticks);
        let cpu_seconds = self.cpu_seconds.zip(earlier.cpu_seconds);
        PressureChange {
            steal_ratio: if ticks == 0 { 0.0 } else { (stolen as f64 / ticks as f64).min(1.0) },
            other_runnable: self.other_runnable.unwrap_or(0) as f64,
            cpu_seconds: cpu_seconds.map_or(0.0, |(now, then)| (now - then).max(0.0)),
            context_switches: difference(self.context_switches, earlier.context_switches),
        }
    }
}

impl PressureChange {
    /// Other load probably disturbed the measurement: the host gave 5 % or more of the processor
    /// time to others, or something kept a processor busy when the measurement was over.
    pub(crate) fn is_disturbed(&self, other_runnable: f64) -> bool {
        self.steal_ratio >= STEAL_RATIO_DISTURBED || other_runnable >= 1.0
    }
}

/// The fewest runnable tasks besides this thread in several looks, for when the measurement's own
/// threads have ended.
pub(crate) fn other_runnable() -> f64 {
    let look = || Pressure::sample().since(&Pressure::default()).other_runnable;
    (1..RUN_QUEUE_LOOKS).fold(look(), |fewest, _| {
        thread::sleep(RUN_QUEUE_PAUSE);
        fewest.min(look())
    })
}

/// The 1-minute load average, from the text of /proc/loadavg.
pub(crate) fn load_average_1m(loadavg: &str) -> Option<f64> {
    let value: f64 = loadavg.split_whitespace().next()?.parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// The counters in /proc/stat (proc_stat(5)). The `cpu` line is user, nice, system, idle, iowait,
/// irq, softirq, steal, then guest times, which are already within user and nice.
fn parse_stat(stat: &str) -> Pressure {
    let values = |name: &str| {
        stat.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(name)).then(|| words.map_while(|word| word.parse::<u64>().ok()))
        })
    };
    let ticks: Vec<u64> = values("cpu").into_iter().flatten().take(8).collect();
    Pressure {
        other_runnable: values("procs_running")
            .and_then(|mut numbers| numbers.next())
            .map(|running| running.saturating_sub(1)),
        total_ticks: (!ticks.is_empty())
            .then(|| ticks.iter().fold(0, |sum: u64, tick| sum.saturating_add(*tick))),
        steal_ticks: ticks.get(7).copied(),
        ..Pressure::default()
    }
}

fn difference(now: Option<u64>, then: Option<u64>) -> u64 {
    now.zip(then).map_or(0, |(now, then)| now.saturating_sub(then))
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 10 50 800 20 5 5 10 99 9\ncpu0 1 2 3 4 5 6 7 8 0 0\n\
                        ctxt 358421\nprocs_running 4\nprocs_blocked 0\n";

    #[test]
    fn stat_is_parsed_without_counting_guests_twice() {
        let sample = parse_stat(STAT);
        assert_eq!(sample.total_ticks, Some(1000));
        assert_eq!(sample.steal_ticks, Some(10));
        assert_eq!(sample.other_runnable, Some(3));
    }

    #[test]
    fn the_change_is_between_the_samples() {
        let before = parse_stat(STAT);
        let mut after = parse_stat("cpu 200 10 50 850 20 5 5 60\nprocs_running 1");
        after.cpu_seconds = Some(3.5);
        let earlier = Pressure { cpu_seconds: Some(1.5), ..before };
        let change = after.since(&earlier);
        assert_eq!(change.steal_ratio, 0.25);
        assert_eq!(change.other_runnable, 0.0);
        assert_eq!(change.cpu_seconds, 2.0);
        // A counter that runs backwards (a container moved to another host) is not negative.
        assert_eq!(before.since(&after).steal_ratio, 0.0);
    }

    #[test]
    fn missing_and_hostile_text_is_unknown() {
        assert_eq!(parse_stat(""), Pressure::default());
        let short = parse_stat("cpu 1 2 3\nprocs_running x");
        assert_eq!((short.total_ticks, short.steal_ticks), (Some(6), None));
        assert_eq!(short.other_runnable, None);
        let huge = parse_stat("cpu 18446744073709551615 18446744073709551615\nprocs_running 0");
        assert_eq!((huge.total_ticks, huge.other_runnable), (Some(u64::MAX), Some(0)));
        assert_eq!(Pressure::default().since(&Pressure::default()), PressureChange::default());
    }

    #[test]
    fn our_own_work_shows_in_the_sample() {
        let before = Pressure::sample();
        let mut sum = 0_u64;
        while Pressure::sample().since(&before).cpu_seconds < 0.02 {
            sum = (0..100_000_u64).fold(sum, |sum, x| std::hint::black_box(sum ^ x));
        }
        let change = Pressure::sample().since(&before);
        assert!(change.cpu_seconds >= 0.02, "{change:?} {sum}");
        assert!((0.0..=1.0).contains(&change.steal_ratio));
    }

    #[test]
    fn load_average() {
        assert_eq!(load_average_1m("0.52 0.58 0.59 1/467 12345"), Some(0.52));
        for text in ["", "x", "NaN 1", "-1 0"] {
            assert_eq!(load_average_1m(text), None);
        }
    }
}
