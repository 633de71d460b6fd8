//! Each warning on a machine that is made up for it: the property alone brings it, and without the
//! property there is none.

use super::class::{DeviceClass, classify};
use super::facts::{Facts, LogAnswer, Refusal};
use super::synthetic::{layer, measured, queue, server, with_disk};
use super::text;
use super::verdict::{Examination, Verdict};
use super::warnings::{
    DiskWarning, FileSystemWarning, MeasurementWarning, PowerWarning, ProcessWarning,
    PromiseWarning, Severity, Warning, warnings,
};
use crate::host::{IoUringState, LayerDevice, Transport, WriteLimits};

fn examined(facts: Facts) -> Examination {
    Examination::of(facts, "2026-01-01T00:00:00Z".into())
}

fn spoilt(spoil: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = server();
    spoil(&mut facts);
    facts
}

/// The property brings exactly this warning, and no other.
#[track_caller]
fn assert_warns(facts: &Facts, expected: impl Into<Option<Warning>>) {
    let expected: Vec<Warning> = expected.into().into_iter().collect();
    assert_eq!(warnings(facts), expected);
}

#[test]
fn a_good_place_deserves_no_warning() {
    assert_warns(&server(), None);
    let examination = examined(server());
    assert_eq!(examination.verdict, Verdict::Usable);
    assert_eq!(examination.class.class, DeviceClass::ProtectedFlash);
    assert_eq!(text::warnings(&examination), "");
}

#[test]
fn what_breaks_a_promise_is_a_danger() {
    let expect = |spoil: fn(&mut Facts), expected: PromiseWarning| {
        let facts = spoilt(spoil);
        assert_warns(&facts, Warning::Promise(expected));
        assert!(warnings(&facts).iter().all(|warning| warning.severity() == Severity::Danger));
    };
    expect(
        |facts| facts.environment.mount_options = Some("rw,nobarrier".into()),
        PromiseWarning::BarriersOff { option: "nobarrier".into() },
    );
    expect(
        |facts| facts.measured = Some(measured(2.0, 1.0, 3.0)),
        PromiseWarning::FlushesIgnored { durable_write_us: 3.0 },
    );
    expect(
        |facts| facts.environment.filesystem = Some("fuse.sshfs".into()),
        PromiseWarning::ForeignFilesystem { filesystem: "fuse.sshfs".into() },
    );
    expect(
        |facts| facts.environment.filesystem = Some("overlay".into()),
        PromiseWarning::ContainerLayer,
    );
    expect(
        |facts| {
            let alignment_offset_bytes = Some(3584);
            facts.place.layers[0].device = LayerDevice::Partition { alignment_offset_bytes };
        },
        PromiseWarning::MisalignedPartition { partition: "nvme0n1p1".into(), offset_bytes: 3584 },
    );
    let memory = with_disk(Transport::Memory, |_| {});
    assert_warns(&memory, Warning::Promise(PromiseWarning::MemoryDevice));
}

#[test]
fn little_lockable_memory_is_told_unless_it_does_not_bind() {
    let small = |limit_bytes: u64| {
        spoilt(|facts| facts.environment.memlock_limit_bytes = Some(limit_bytes))
    };
    let needed_bytes = 6 * (256 << 10);
    let buffers = |limit_bytes| {
        Warning::Process(ProcessWarning::BuffersNotRegistered { limit_bytes, needed_bytes })
    };
    assert_warns(&small(needed_bytes - 1), buffers(needed_bytes - 1));
    assert_warns(&small(needed_bytes), None);
    let keys = PromiseWarning::KeysNotLocked { limit_bytes: 64 << 10, needed_bytes: 128 << 10 };
    assert_eq!(warnings(&small(64 << 10)), [Warning::Promise(keys), buffers(64 << 10)]);
    let mut exempt = small(0);
    exempt.memory_lock_unlimited = true;
    assert_warns(&exempt, None);
    assert_warns(&spoilt(|facts| facts.environment.memlock_limit_bytes = None), None);
}

#[test]
fn a_disk_that_needs_flushes_is_slow_and_one_with_fua_does_not() {
    let volatile = |fua: Option<bool>| {
        spoilt(|facts| {
            queue(facts).write_cache = Some("write back".into());
            queue(facts).fua = fua;
        })
    };
    let expected = Warning::Disk(DiskWarning::VolatileCacheWithoutFua);
    assert_warns(&volatile(Some(false)), expected.clone());
    assert_warns(&volatile(None), expected);
    assert_warns(&volatile(Some(true)), None);
}

#[test]
fn a_scheduler_is_in_the_way_of_a_disk_without_heads_only() {
    let with_bfq = |transport, durable_us| {
        with_disk(transport, |facts| {
            queue(facts).scheduler = Some("bfq".into());
            facts.measured = Some(measured(15.0, 3.0, durable_us));
        })
    };
    let (device, scheduler) = ("nvme0n1".to_owned(), "bfq".to_owned());
    let expected = Warning::Disk(DiskWarning::SchedulerInTheWay { device, scheduler });
    assert_warns(&with_bfq(Transport::NvmePcie, 20.0), expected.clone());
    assert_warns(&with_bfq(Transport::Virtio, 20.0), expected);
    assert_warns(&with_bfq(Transport::Virtio, 9_000.0), None);
    assert_warns(&with_bfq(Transport::Ata, 20.0), None);
}

#[test]
fn what_a_disk_says_of_itself_is_held_against_the_clock() {
    let rotating = |durable_us| {
        with_disk(Transport::Ata, |facts| {
            queue(facts).rotational = Some(true);
            facts.measured = Some(measured(15.0, 3.0, durable_us));
        })
    };
    let called = DiskWarning::CalledRotating { device: "nvme0n1".into(), durable_write_us: 60.0 };
    assert_warns(&rotating(60.0), Warning::Disk(called));
    assert_warns(&rotating(8_300.0), None);
    let unthrottled = DiskWarning::WritebackUnthrottled { device: "nvme0n1".into() };
    assert_warns(
        &spoilt(|facts| queue(facts).writeback_throttle_us = Some(0)),
        Warning::Disk(unthrottled),
    );
    let unseen = spoilt(|facts| {
        (facts.place.queue, facts.place.layers) = (None, Vec::new());
    });
    assert_warns(&unseen, Warning::Disk(DiskWarning::NoDeviceSeen));
}

#[test]
fn a_loop_device_through_the_page_cache_is_told() {
    let on_loop = |direct_io| {
        let backing_file = "/images/a".to_owned();
        with_disk(Transport::NvmePcie, |facts| {
            let device = LayerDevice::Loop { backing_file, direct_io };
            facts.place.layers.insert(0, layer("loop3", 0, device));
        })
    };
    let (device, backing_file) = ("loop3".into(), "/images/a".into());
    let expected = DiskWarning::LoopThroughPageCache { device, backing_file };
    assert_warns(&on_loop(false), Warning::Disk(expected));
    assert_warns(&on_loop(true), None);
    assert_eq!(classify(&on_loop(true)).class, DeviceClass::LoopFile);
}

#[test]
fn file_systems_are_warned_of_by_type_options_and_space() {
    let expect = |spoil: fn(&mut Facts), expected: FileSystemWarning| {
        assert_warns(&spoilt(spoil), Warning::FileSystem(expected));
    };
    let mounted = |facts: &mut Facts, options: &str| {
        facts.environment.mount_options = Some(options.to_owned());
    };
    assert_warns(&spoilt(|facts| mounted(facts, "rw,data=ordered,lazytime,async")), None);
    let journaled = spoilt(|facts| mounted(facts, "rw,data=journal"));
    assert_warns(&journaled, Warning::FileSystem(FileSystemWarning::JournaledData));
    let synchronous = spoilt(|facts| mounted(facts, "rw,sync"));
    assert_warns(&synchronous, Warning::FileSystem(FileSystemWarning::SynchronousMount));
    let discarding = spoilt(|facts| mounted(facts, "discard,rw"));
    assert_warns(&discarding, Warning::FileSystem(FileSystemWarning::OnlineDiscard));
    expect(
        |facts| facts.environment.filesystem = Some("btrfs".into()),
        FileSystemWarning::CopyOnWrite { filesystem: "btrfs".into() },
    );
    expect(
        |facts| facts.environment.free_bytes = 191 << 20,
        FileSystemWarning::NoRoomForSegments { free_bytes: 191 << 20, needed_bytes: 192 << 20 },
    );
    expect(
        |facts| facts.environment.free_bytes = 40 << 30,
        FileSystemWarning::NearlyFull { free_share: 0.04 },
    );
    assert_warns(&spoilt(|facts| facts.environment.free_bytes = 51 << 30), None);
}

#[test]
fn what_a_process_may_not_do_is_told_with_the_switch_that_forbids_it() {
    let refused = |setting: &str| {
        spoilt(|facts| {
            facts.io_uring = IoUringState::Refused { reason: "not permitted".into() };
            facts.environment.io_uring_disabled = Some(setting.into());
        })
    };
    let disabled = ProcessWarning::IoUringDisabled { setting: "2".into() };
    assert_warns(&refused("2"), Warning::Process(disabled));
    let by_profile = ProcessWarning::IoUringRefused { reason: "not permitted".into() };
    assert_warns(&refused("0"), Warning::Process(by_profile));
    let old = spoilt(|facts| {
        facts.io_uring = IoUringState::Usable {
            features: Vec::new(),
            missing_operations: vec!["write".into()],
            single_issuer: false,
        };
    });
    let lacking = ProcessWarning::IoUringLacksOperations { missing: vec!["write".into()] };
    assert_warns(&old, Warning::Process(lacking));
    let half = spoilt(|facts| facts.environment.cgroup_cpu_limit = Some(0.5));
    assert_warns(&half, Warning::Process(ProcessWarning::ProcessorLimit { processors: 0.5 }));
    assert_warns(&spoilt(|facts| facts.environment.cgroup_cpu_limit = Some(1.0)), None);
    let limits = WriteLimits { bytes_per_second: None, writes_per_second: Some(9_000_000) };
    let limited = spoilt(|facts| facts.place.write_limits = limits);
    let expected =
        ProcessWarning::WriteLimit { bytes_per_second: None, writes_per_second: Some(9_000_000) };
    assert_warns(&limited, Warning::Process(expected));
}

#[test]
fn what_saves_power_is_told_by_what_it_costs() {
    let expect = |spoil: fn(&mut Facts), expected: PowerWarning| {
        assert_warns(&spoilt(spoil), Warning::Power(expected));
    };
    expect(
        |facts| facts.environment.cpu_governor = Some("powersave".into()),
        PowerWarning::ProcessorKeptSlow { setting: "governor powersave".into() },
    );
    // The same word is the ordinary governor of these drivers.
    let intel = |preference: &str| {
        spoilt(|facts| {
            facts.environment.cpu_governor = Some("powersave".into());
            facts.place.power.cpu_frequency_driver = Some("intel_pstate".into());
            facts.place.power.cpu_energy_preference = Some(preference.into());
        })
    };
    assert_warns(&intel("balance_performance"), None);
    let setting = "energy preference power".into();
    assert_warns(&intel("power"), Warning::Power(PowerWarning::ProcessorKeptSlow { setting }));
    expect(
        |facts| facts.place.power.cpu_idle_exit_us_max = Some(133),
        PowerWarning::DeepIdle { exit_us: 133 },
    );
    expect(
        |facts| facts.place.power.device_runtime = Some("auto".into()),
        PowerWarning::DiskMaySleep { setting: "power/control = auto".into() },
    );
    expect(
        |facts| {
            let nvme = facts.place.nvme.as_mut().expect("an NVMe disk");
            nvme.power_saving_latency_us = Some(100_000);
        },
        PowerWarning::NvmeMaySleep { controller: "nvme0".into(), latency_us: 100_000 },
    );
}

#[test]
fn a_measurement_that_is_not_to_be_trusted_says_so() {
    let measured_so = |change: fn(&mut super::measured::Measured)| {
        spoilt(|facts| change(facts.measured.as_mut().expect("measured")))
    };
    let outliers = measured_so(|measured| measured.durable_write.p99_us = Some(200.0));
    let expected = MeasurementWarning::Outliers { p50_us: 20.0, p99_us: 200.0 };
    assert_warns(&outliers, Warning::Measurement(expected));
    let differing = measured_so(|measured| {
        measured.durable_writes_per_second_by_round = vec![790.0, 1000.0, 900.0];
    });
    let expected =
        MeasurementWarning::RoundsDiffer { low_per_second: 790.0, high_per_second: 1000.0 };
    assert_warns(&differing, Warning::Measurement(expected));
    assert_eq!(examined(differing).verdict, Verdict::Usable);
    let busy = measured_so(|measured| measured.steal_ratio = 0.05);
    let expected = MeasurementWarning::Busy { steal_ratio: 0.05, other_runnable: 0.0 };
    assert_warns(&busy, Warning::Measurement(expected));

    let contradicting = measured_so(|measured| {
        measured.durable_writes_per_second_by_round = vec![500.0, 1000.0];
    });
    let examination = examined(contradicting);
    assert_eq!(examination.verdict, Verdict::Disturbed);
    assert_eq!(examination.class.class, DeviceClass::CannotTell);
}

#[test]
fn a_place_that_is_refused_says_what_to_do_first() {
    let refusals = [
        (Refusal::NoDirectIo { filesystem: "tmpfs".into() }, "O_DIRECT"),
        (Refusal::ReadOnly, "read-only"),
        (Refusal::NotWritable, "may not write"),
        (Refusal::NoSpace, "full"),
        (Refusal::Other { reason: "a puzzle".into() }, "a puzzle"),
    ];
    for (refusal, part) in refusals {
        let facts = spoilt(|facts| {
            facts.log = LogAnswer::Refuses { refusal: refusal.clone() };
            facts.measured = None;
            facts.place.power.device_runtime = Some("auto".into());
        });
        let examination = examined(facts);
        assert_eq!(examination.verdict, Verdict::Refused);
        assert_eq!(examination.warnings[0].warning, Warning::Refused(refusal));
        assert!(examination.warnings[0].sentence.contains(part), "{examination:?}");
        let text = text::all(&examination, "/data/wal".as_ref());
        assert!(text.contains("does not open here") && !text.contains("Next:"), "{text}");
    }
}

#[test]
fn half_of_f0_is_where_a_window_stops_helping() {
    let advice = examined(server()).advice;
    let f0 = 1e6 / 21.0;
    let from = advice.window_useless_from_per_second.expect("measured");
    assert!((from / (f0 / 2.0) - 1.0).abs() < 1e-9, "{from}");
    assert_eq!(advice.engine.as_deref(), Some("blocking"));
    assert_eq!(advice.engine_with_several.as_deref(), Some("uring"));
}

#[test]
fn the_text_is_aligned_and_says_what_the_facts_say() {
    let facts = spoilt(|facts| facts.environment.cgroup_cpu_limit = Some(0.5));
    let text = text::all(&examined(facts), "/data/wal".as_ref());
    for part in [
        "Device          nvme0n1p1 (partition) on nvme0n1 (NVMe on PCIe)",
        "Write cache     write through, FUA no",
        "  durable (F0)    47.6 k/s   p50    20 µs   p99    40 µs",
        "Class           flash with power-loss protection",
        "Engine          uring with 4 in flight: a reason",
        "slow      this process's cgroup allows 0.5 of a processor",
        "          To do: ",
        "Next: plimsoll sweep profiles/quick.toml --target /data/wal",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "terminal tricks");
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
}
