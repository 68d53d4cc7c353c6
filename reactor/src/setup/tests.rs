use super::*;
use crate::{Config, Reactor};

fn said(errno: i32) -> String {
    SetupError::from_setup(io::Error::from_raw_os_error(errno)).to_string()
}

/// Seen to fail when: ENOSYS is left to `from_step`.
#[test]
fn each_refusal_of_the_kernel_is_one_plain_sentence() {
    for (errno, words) in [
        (libc::ENOSYS, "has no io_uring"),
        (libc::EPERM, "io_uring is forbidden here"),
        (libc::EINVAL, "too old"),
        (libc::ENOMEM, "RLIMIT_MEMLOCK"),
        (libc::EMFILE, "RLIMIT_NOFILE"),
        (libc::EIO, "failed (ring:"),
    ] {
        let said = said(errno);
        assert!(said.contains(words), "{errno}: {said}");
        assert!(!said.contains('\n') && said.len() < 250, "one sentence: {said}");
    }
}

/// Seen to fail when: `reason` ignores the setting.
#[test]
fn the_reason_names_the_sysctl_that_forbids_it() {
    assert!(reason(Some("2\n")).contains("io_uring_disabled is 2"));
    assert!(reason(Some("1\n")).contains("io_uring_group"));
    assert!(reason(Some("0\n")).contains("seccomp"));
    assert!(reason(None).contains("seccomp"));
}

/// Seen to fail when: `Config::check` is not called.
#[test]
fn a_setting_out_of_range_is_named() {
    let config = Config { receive_buffers: 100, ..Config::default() };
    let refusal = Reactor::new(&config).err().map(|error| error.to_string());
    assert_eq!(
        refusal.as_deref(),
        Some("reactor settings: receive_buffers must be a power of two, at most 32768")
    );
}

/// A filter for this thread that answers io_uring_setup(2) with EPERM, as container runtimes do.
fn forbid_io_uring() {
    let statement =
        |code: u32, k: u32| libc::sock_filter { code: u16::try_from(code).expect("small"), jt: 0, jf: 0, k };
    let mut jump = statement(
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        u32::try_from(libc::SYS_io_uring_setup).expect("small"),
    );
    jump.jf = 1;
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        jump,
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).expect("small"),
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live until the calls return, which copy them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let program = &raw const program;
        assert_eq!(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, program), 0);
    }
}

/// Seen to fail when: EPERM is left to `SetupError::Other`.
#[test]
fn a_host_that_forbids_io_uring_gets_a_sentence_it_can_act_on() {
    let refusal = std::thread::spawn(|| {
        forbid_io_uring();
        Reactor::new(&Config::default()).err().map(|error| error.to_string())
    });
    let refusal = refusal.join().expect("thread").expect("refused");
    assert!(refusal.starts_with("io_uring is forbidden here: "), "{refusal}");
}
