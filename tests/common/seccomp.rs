//! System calls that fail in one thread, as on a broken disk or in a strict container: a seccomp
//! filter (seccomp(2)) answers them with an error before the kernel sees them.
#![allow(unsafe_code, reason = "prctl(2) has no safe wrapper that takes a filter")]

use std::thread;

/// `struct seccomp_data`: the number of the system call comes first.
const NUMBER_AT: u32 = 0;
/// The lower half of the first argument, where integers are little-endian.
const FIRST_ARGUMENT_AT: u32 = 16;

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

/// Makes one system call fail in this thread, and in those that it starts. Errno 0: the call is not
/// made, and answers 0.
fn install(call: libc::c_long, errno: i32) {
    install_filter(&[
        load(NUMBER_AT),
        unless(call, 1),
        answer(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        answer(libc::SECCOMP_RET_ALLOW),
    ]);
}

/// As `fail` of [`in_thread`], inside of it, but only where the first argument is this descriptor.
pub(crate) fn fail_on_descriptor(call: libc::c_long, descriptor: i32, errno: i32) {
    install_filter(&[
        load(NUMBER_AT),
        unless(call, 3),
        load(FIRST_ARGUMENT_AT),
        unless(descriptor.into(), 1),
        answer(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        answer(libc::SECCOMP_RET_ALLOW),
    ]);
}

fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0)
}

/// Skips so many statements unless what was loaded is `value`.
fn unless(value: libc::c_long, skipped: u8) -> libc::sock_filter {
    let value = u32::try_from(value).expect("small numbers");
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, skipped)
}

fn answer(answer: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, answer, 0)
}

fn statement(code: u32, k: u32, jf: u8) -> libc::sock_filter {
    let code = u16::try_from(code).expect("codes have 16 bits");
    libc::sock_filter { code, jt: 0, jf, k }
}

fn install_filter(filter: &[libc::sock_filter]) {
    let len = u16::try_from(filter.len()).expect("short");
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program and its filter outlive the call, which copies them.
    let result = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
