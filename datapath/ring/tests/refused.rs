//! A host that refuses io_uring or locked memory: said in one sentence, or worked around and said.
#![cfg(not(loom))]

mod common;

use std::os::unix::process::CommandExt;
use std::process::Command;

use common::config;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use weir_ring::{OpenHow, Reactor, ReactorConfig, RingError, sys};

/// Installs a seccomp filter on this thread alone: io_uring_setup fails with `errno`, everything else is allowed.
fn refuse_io_uring(errno: u32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut equal = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_io_uring_setup as u32);
    equal.jf = 1;
    let mut program = [
        // Offset 0 of seccomp_data is the call's number.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        equal,
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().unwrap();
    // SAFETY: the filter and its program are locals that the kernel copies during the call.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    assert_eq!(answer, 0, "seccomp: {}", std::io::Error::last_os_error());
}

fn check(errno: i32, expected: fn(&RingError) -> bool) {
    std::thread::spawn(move || {
        refuse_io_uring(errno as u32);
        let error = Reactor::new(&config()).unwrap_err();
        assert!(expected(&error), "{error}");
    })
    .join()
    .unwrap();
}

#[test]
fn a_refused_io_uring_is_named() {
    check(libc::EPERM, |error| matches!(error, RingError::Refused { .. } | RingError::Disabled { .. }));
    check(libc::ENOSYS, |error| matches!(error, RingError::Missing));
    check(libc::EINVAL, |error| matches!(error, RingError::TooOld { .. }));
    check(libc::EMFILE, |error| matches!(error, RingError::Descriptors { .. }));
}

#[test]
fn without_locked_memory_buffers_work_unregistered() {
    // Limits belong to the process, and root is above this one: the check runs in a child, as nobody if possible.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "child_without_locked_memory", "--nocapture"]).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        child.uid(65534).gid(65534);
    }
    match child.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        // The build's directory is not open to nobody.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
}

#[test]
#[ignore = "run by without_locked_memory_buffers_work_unregistered"]
fn child_without_locked_memory() {
    setrlimit(Resource::RLIMIT_MEMLOCK, 1 << 20, 1 << 20).unwrap();
    let reactor = Reactor::new(&ReactorConfig { buffers: 64, ..config() }).unwrap();
    let handle = reactor.handle();
    assert!(!handle.buffers().registered());
    assert!(handle.buffers().registration_refused().unwrap().contains("ulimit -l"));
    reactor.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let dir = sys::open_dir(directory.path()).unwrap();
        let disk = handle.disk_ring().unwrap();
        assert!(!disk.fixed());
        let how = OpenHow::beneath(libc::O_RDWR | libc::O_CREAT);
        let file = disk.open(&dir, c"file".into(), how).await.unwrap();
        let mut buf = handle.buffers().take().await;
        buf.set_len(4096);
        buf.fill(3);
        let (count, buf) = disk.write(&file, buf, 0..4096, 0).await;
        assert_eq!(count.unwrap(), 4096);
        let (count, buf) = disk.read(&file, buf, 0, 8192, 0).await;
        assert_eq!((count.unwrap(), buf[4095]), (4096, 3));
    });
}
