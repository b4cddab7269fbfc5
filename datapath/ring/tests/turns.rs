//! Who gets what of a reactor's turn: large transfers one by one, and steps that take too long are told of.
#![cfg(not(loom))]

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{everywhere, until};
use weir_ring::{How, sys};

#[test]
fn large_transfers_have_one_turn_each_in_the_order_of_asking() {
    everywhere(async |handle| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        for i in 0..5 {
            let (inner, seen) = (handle.clone(), seen.clone());
            handle
                .spawn(async move {
                    for round in 0..3 {
                        inner.bulk_turn().await;
                        seen.borrow_mut().push((round, i, inner.stats().turns));
                    }
                })
                .unwrap();
        }
        until(&handle, || seen.borrow().len() == 15).await;
        let seen = seen.borrow();
        // The first has a turn at once and so asks for its second before the others were there.
        let order: Vec<(i32, i32)> = seen.iter().filter(|s| s.1 > 0).map(|s| (s.0, s.1)).collect();
        let expected: Vec<(i32, i32)> = (0..3).flat_map(|round| (1..5).map(move |i| (round, i))).collect();
        assert_eq!(order, expected);
        assert!(seen.windows(2).all(|w| w[0].2 < w[1].2), "two in one turn: {seen:?}");
    });
}

#[test]
fn who_gave_up_waiting_holds_nobody_up() {
    everywhere(async |handle| {
        handle.bulk_turn().await;
        for _ in 0..3 {
            let given_up = handle.timeout(Duration::ZERO, handle.bulk_turn()).await;
            assert!(given_up.is_err(), "this turn's transfer was given away already");
        }
        handle.bulk_turn().await;
    });
}

/// Runs `step` as one poll of a task and gives what was told of it.
fn stalls_of(step: fn()) -> Vec<weir_ring::Stall> {
    let told = Rc::new(RefCell::new(Vec::new()));
    let reactor = weir_ring::Reactor::new(&common::config()).unwrap();
    let handle = reactor.handle();
    let note = told.clone();
    handle.watch_stalls(Duration::from_millis(20), move |stall| note.borrow_mut().push(stall));
    let over = Rc::new(Cell::new(false));
    let done = over.clone();
    reactor.block_on(async move {
        handle
            .spawn(async move {
                step();
                done.set(true);
            })
            .unwrap();
        until(&handle, || over.get()).await;
    });
    drop(reactor);
    told.take()
}

#[test]
fn a_poll_that_sleeps_is_told_with_its_call() {
    let stalls = stalls_of(|| {
        sys::open_dir(std::path::Path::new("/")).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    });
    let slow: Vec<_> = stalls.iter().filter(|s| s.took >= Duration::from_millis(50)).collect();
    assert_eq!(slow.len(), 1, "{stalls:?}");
    assert!(slow[0].poll && slow[0].how == How::Slept && slow[0].call == "open_dir", "{stalls:?}");
    assert!(slow[0].to_string().contains("open_dir"));
}

#[test]
fn a_poll_that_computes_is_not_taken_for_a_sleep() {
    let stalls = stalls_of(|| {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
    });
    assert!(stalls.iter().any(|s| s.poll && s.how == How::Ran && s.call != "open_dir"), "{stalls:?}");
}

#[test]
fn a_poll_that_waits_for_its_own_pages_is_told_as_such() {
    let stalls = stalls_of(|| {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::write(&path, [7; 4096]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        file.sync_all().unwrap();
        // What is on a disk leaves memory; a file system that is memory keeps it, and nothing is waited for.
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        // SAFETY: a new mapping of a whole page of an open file, which is only read and never unmapped.
        let page = unsafe {
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0).cast::<u8>()
        };
        assert!(!page.is_null());
        // SAFETY: within the mapping, which nobody changes.
        assert_eq!(unsafe { page.read_volatile() }, 7);
        std::thread::sleep(Duration::from_millis(30));
    });
    assert!(stalls.iter().any(|s| s.how == How::Paged), "{stalls:?}");
}

#[test]
fn short_polls_are_not_told() {
    // A machine may take the CPU away for long; it does not so in every one of ten runs.
    assert!((0..10).any(|_| stalls_of(|| {}).is_empty()));
}
