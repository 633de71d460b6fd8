//! Processor and memory facts from the text of /proc/cpuinfo, /proc/meminfo and
//! /proc/self/status.

/// The processor features that decide how fast records are sealed and checksummed.
const CRYPTO_FLAGS: [&str; 7] =
    ["aes", "vaes", "pclmulqdq", "vpclmulqdq", "sse4_2", "avx2", "avx512f"];

/// Model name of the first processor; ARM kernels do not give one.
pub(crate) fn model(cpuinfo: &str) -> Option<String> {
    field(cpuinfo, "model name").map(str::to_owned)
}

/// Those of the crypto and checksum features that the first processor has, in a fixed order.
pub(crate) fn crypto_flags(cpuinfo: &str) -> Vec<String> {
    // x86 calls the line "flags", ARM "Features".
    let flags = field(cpuinfo, "flags").or_else(|| field(cpuinfo, "Features"));
    let present: Vec<&str> = flags.unwrap_or("").split_whitespace().collect();
    CRYPTO_FLAGS
        .iter()
        .filter(|flag| present.contains(flag))
        .map(|flag| (*flag).to_owned())
        .collect()
}

/// `MemTotal`, bytes.
pub(crate) fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kibibytes: u64 = field(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Number of processors in `Cpus_allowed_list` (`0-3,8`).
pub(crate) fn allowed_count(status: &str) -> Option<u32> {
    let mut count = 0_u32;
    for part in field(status, "Cpus_allowed_list")?.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let width = last.checked_sub(first)?.checked_add(1)?;
        count = count.checked_add(width)?;
    }
    Some(count)
}

/// Whether the process may lock memory without limit (`CAP_IPC_LOCK`, capability 14 of
/// capabilities(7)), from `CapEff`.
pub(crate) fn may_lock_without_limit(status: &str) -> Option<bool> {
    let effective = u64::from_str_radix(field(status, "CapEff")?, 16).ok()?;
    Some(effective & (1 << 14) != 0)
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_of_x86_and_arm() {
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC: 7\nflags\t\t: fpu sse4_2 aes avx2 aesni\n\
                   \nprocessor\t: 1\nmodel name\t: other\nflags\t\t: vaes";
        assert_eq!(model(x86).as_deref(), Some("AMD EPYC: 7"));
        assert_eq!(crypto_flags(x86), ["aes", "sse4_2", "avx2"]);
        let arm = "processor\t: 0\nFeatures\t: fp asimd aes pmull sha2";
        assert_eq!(model(arm), None);
        assert_eq!(crypto_flags(arm), ["aes"]);
        assert!(crypto_flags("").is_empty());
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(memory_bytes("MemTotal:       2048 kB\nMemFree: 1 kB"), Some(2 << 20));
        for text in ["", "MemTotal: many kB", "MemTotal: 5", "MemTotal: 18446744073709551615 kB"] {
            assert_eq!(memory_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn the_capability_to_lock_memory_is_bit_14() {
        let may = |mask: &str| may_lock_without_limit(&format!("Name:\tx\nCapEff:\t{mask}\n"));
        assert_eq!(may("000001ffffffffff"), Some(true));
        assert_eq!(may("0000000000004000"), Some(true));
        assert_eq!(may("ffffffffffffbfff"), Some(false));
        assert_eq!((may("x"), may_lock_without_limit("")), (None, None));
    }

    #[test]
    fn allowed_processors_are_counted() {
        let count = |list: &str| allowed_count(&format!("Name:\tx\nCpus_allowed_list:\t{list}\n"));
        assert_eq!(count("0-1"), Some(2));
        assert_eq!(count("3"), Some(1));
        assert_eq!(count("0-3,8,10-11"), Some(7));
        for list in ["", "a-b", "5-2", "0-4294967295", "1,,2"] {
            assert_eq!(count(list), None, "{list}");
        }
        assert_eq!(allowed_count(""), None);
    }
}
