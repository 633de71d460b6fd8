//! System calls that fail in one thread, as on a broken disk or in a strict container: a seccomp
//! filter (seccomp(2)) answers them with an error before the kernel sees them.
#![allow(unsafe_code, reason = "prctl(2) has no safe wrapper that takes a filter")]

use std::thread;

/// `struct seccomp_data`: the number of the system call comes first.
const NUMBER_AT: u32 = 0;

/// Runs `work` in a thread of its own and gives its answer; `work` gets a function that makes one
/// system call fail with an errno in that thread (and threads it starts) from then on. `None` where
/// the kernel allows no filters.
pub(crate) fn in_thread<T: Send>(
    work: impl FnOnce(&dyn Fn(libc::c_long, i32)) -> T + Send,
) -> Option<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if !allow_filters() {
                return None;
            }
            Some(work(&|call, errno| install(call, errno)))
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Promises to gain no privileges, which is the price of a filter.
fn allow_filters() -> bool {
    // SAFETY: plain integers; affects this thread only.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 }
}

fn install(call: libc::c_long, errno: i32) {
    let number = u32::try_from(call).expect("system calls have small numbers");
    let errno = u32::try_from(errno).expect("errno is positive");
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: u16::try_from(code).expect("codes have 16 bits"),
        jt,
        jf,
        k,
    };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER_AT, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter outlive the call, which copies them.
    let result = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
