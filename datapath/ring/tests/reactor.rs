//! Tasks, wakers, timers, parking, panics and the end of a reactor.
#![cfg(not(loom))]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use common::{config, connection, everywhere, until};
use weir_ring::{Handle, Reactor, ReactorConfig, RingError, SendError, TasksFull, Watch, mailbox};

#[test]
fn tasks_run_in_the_order_they_were_spawned() {
    everywhere(async |handle| {
        let order = Rc::new(RefCell::new(Vec::new()));
        for i in 0..10 {
            let order = order.clone();
            handle.spawn(async move { order.borrow_mut().push(i) }).unwrap();
        }
        until(&handle, || order.borrow().len() == 10).await;
        assert_eq!(*order.borrow(), (0..10).collect::<Vec<_>>());
        assert_eq!(handle.stats().tasks, 0);
    });
}

#[test]
fn tasks_are_bounded_and_slots_are_reused() {
    everywhere(async |handle| {
        for _ in 0..3 {
            let go = Rc::new(Cell::new(false));
            for _ in 0..64 {
                let (go, handle) = (go.clone(), handle.clone());
                handle.clone().spawn(async move { until(&handle, || go.get()).await }).unwrap();
            }
            assert_eq!(handle.spawn(async {}), Err(TasksFull { max: 64 }));
            go.set(true);
            until(&handle, || handle.stats().tasks == 0).await;
        }
    });
}

#[test]
fn a_panicking_task_dies_alone_and_is_reported() {
    everywhere(async |handle| {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let note = heard.clone();
        handle.on_task_panic(move |text| note.borrow_mut().push(text.to_owned()));
        struct PanicsWhenDropped;
        impl Drop for PanicsWhenDropped {
            fn drop(&mut self) {
                panic!("planted in a drop");
            }
        }
        let lived = Rc::new(Cell::new(false));
        let alive = lived.clone();
        handle.spawn(async { panic!("planted") }).unwrap();
        handle.spawn(async { panic!("planted {}", 2) }).unwrap();
        handle
            .spawn(async {
                let _bomb = PanicsWhenDropped;
                poll_fn(|_| Poll::Ready(())).await;
            })
            .unwrap();
        handle.spawn(async move { alive.set(true) }).unwrap();
        until(&handle, || handle.stats().tasks == 0).await;
        assert!(lived.get());
        assert_eq!(*heard.borrow(), ["planted", "planted 2", "planted in a drop"]);
        assert_eq!(handle.stats().task_panics, 3);
    });
}

#[test]
fn a_panic_of_the_root_leaves_the_reactor_usable() {
    let reactor = Reactor::new(&config()).unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        reactor.block_on(async { panic!("planted") });
    }));
    assert!(outcome.is_err());
    assert!(Handle::try_current().is_none());
    assert_eq!(reactor.block_on(async { 7 }), 7);
}

#[test]
fn timers_end_in_the_order_of_their_deadlines() {
    everywhere(async |handle| {
        let order = Rc::new(RefCell::new(Vec::new()));
        for milliseconds in [9, 3, 6, 0, 12] {
            let (order, handle) = (order.clone(), handle.clone());
            handle
                .clone()
                .spawn(async move {
                    let sleep = handle.sleep(Duration::from_millis(milliseconds));
                    let deadline = sleep.deadline();
                    sleep.await;
                    assert!(handle.now() >= deadline);
                    order.borrow_mut().push(milliseconds);
                })
                .unwrap();
        }
        handle.sleep(Duration::from_millis(20)).await;
        until(&handle, || order.borrow().len() == 5).await;
        assert_eq!(*order.borrow(), [0, 3, 6, 9, 12]);
        assert_eq!(handle.stats().timers, 0);
    });
}

#[test]
fn a_timeout_gives_the_value_or_the_end() {
    everywhere(async |handle| {
        assert_eq!(handle.timeout(Duration::from_secs(3600), async { 5 }).await, Ok(5));
        assert!(handle.timeout(Duration::from_millis(1), pending::<()>()).await.is_err());
        let (socket, _peer) = connection();
        let buf = handle.buffers().take().await;
        let waited = handle.timeout(Duration::from_millis(1), handle.recv(&socket, buf, 0, 10)).await;
        assert!(waited.is_err());
        until(&handle, || handle.stats().operations == 0).await;
        assert_eq!((handle.stats().timers, handle.stats().buffers_free), (0, common::BUFFERS));
    });
}

#[test]
fn a_watch_bounds_what_waits_and_keeps_its_timer_between() {
    everywhere(async |handle| {
        let watch = Watch::new(&handle);
        assert_eq!(watch.run(Duration::from_secs(3600), async { 5 }).await, Ok(5));
        assert_eq!(handle.stats().timers, 0, "what is ready at once needs no timer");
        let (socket, mut peer) = connection();
        for round in 0..3u8 {
            let buf = handle.buffers().take().await;
            peer.write_all(&[round]).unwrap();
            let got = watch.run(Duration::from_secs(3600), handle.recv(&socket, buf, 0, 10)).await;
            let (count, buf) = got.unwrap();
            assert_eq!((count.unwrap(), buf[0]), (1, round));
            assert!(handle.stats().timers <= 1);
        }
        // A nearer bound than the one the timer stands for, several looks long.
        let begun = handle.now();
        let buf = handle.buffers().take().await;
        let bound = Duration::from_millis(40);
        assert!(watch.run(bound, handle.recv(&socket, buf, 0, 10)).await.is_err());
        assert!(handle.now() - begun >= bound);
        assert!(watch.run(Duration::ZERO, pending::<()>()).await.is_err());
        drop(watch);
        until(&handle, || handle.stats().operations == 0).await;
        assert_eq!((handle.stats().timers, handle.stats().buffers_free), (0, common::BUFFERS));
    });
}

#[test]
fn other_threads_wake_a_sleeping_reactor() {
    everywhere(async |_| {
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let (send, receive) = std::sync::mpsc::channel();
        let (flag, list) = (woken.clone(), wakers.clone());
        let thread = std::thread::spawn(move || {
            while receive.recv().is_ok() {
                let wakers = std::mem::take(&mut *list.lock().unwrap());
                flag.fetch_add(1, Ordering::SeqCst);
                wakers.into_iter().for_each(Waker::wake);
            }
        });
        for round in 0..200 {
            let mut asked = false;
            poll_fn(|cx| {
                if woken.load(Ordering::SeqCst) > round {
                    return Poll::Ready(());
                }
                wakers.lock().unwrap().push(cx.waker().clone());
                if !asked {
                    asked = true;
                    send.send(()).unwrap();
                }
                Poll::Pending
            })
            .await;
        }
        drop(send);
        thread.join().unwrap();
    });
}

#[test]
fn mailboxes_carry_every_message_between_reactors() {
    const MESSAGES: u64 = 20_000;
    for senders in common::shard_counts() {
        let (sender, mut inbox) = mailbox::<u64>(128);
        std::thread::scope(|scope| {
            for _ in 0..senders {
                let sender = sender.clone();
                scope.spawn(move || {
                    let reactor = Reactor::new(&config()).unwrap();
                    let handle = reactor.handle();
                    reactor.block_on(async move {
                        for i in 0..MESSAGES {
                            let mut message = i;
                            while let Err(SendError::Full(back)) = sender.send(message) {
                                message = back;
                                handle.yield_now().await;
                            }
                        }
                    });
                });
            }
            drop(sender);
            let reactor = Reactor::new(&config()).unwrap();
            let sum = reactor.block_on(async {
                let (mut sum, mut batch) = (0, Vec::new());
                while inbox.recv_batch(&mut batch, 16).await > 0 {
                    assert!(batch.len() <= 16);
                    sum += batch.drain(..).sum::<u64>();
                }
                sum
            });
            assert_eq!(sum, senders as u64 * MESSAGES * (MESSAGES - 1) / 2);
        });
    }
}

#[test]
fn mailboxes_say_full_and_closed() {
    let (sender, mut inbox) = mailbox(1);
    assert_eq!(sender.send(1), Ok(()));
    assert_eq!(sender.send(2), Err(SendError::Full(2)));
    assert_eq!((inbox.try_recv(), inbox.try_recv()), (Some(1), None));
    let last = sender.clone();
    drop(sender);
    assert_eq!(last.send(3), Ok(()));
    drop(last);
    let reactor = Reactor::new(&config()).unwrap();
    assert_eq!(reactor.block_on(inbox.recv()), Some(3));
    assert_eq!(reactor.block_on(inbox.recv()), None);
    let (sender, inbox) = mailbox(1);
    drop(inbox);
    assert_eq!(sender.send(1), Err(SendError::Closed(1)));
}

#[test]
fn an_idle_reactor_sleeps_in_the_kernel() {
    everywhere(async |handle| {
        let before = handle.stats();
        handle.sleep(Duration::from_millis(30)).await;
        let after = handle.stats();
        assert!(after.parks > before.parks);
        assert!(after.turns - before.turns < 10, "{} turns", after.turns - before.turns);
    });
}

#[test]
fn what_is_left_over_goes_on_with_the_next_block_on() {
    let reactor = Reactor::new(&config()).unwrap();
    let handle = reactor.handle();
    let done = Rc::new(Cell::new(false));
    let (flag, inner) = (done.clone(), handle.clone());
    handle
        .spawn(async move {
            inner.sleep(Duration::from_millis(2)).await;
            flag.set(true);
        })
        .unwrap();
    reactor.block_on(async {});
    assert!(!done.get());
    reactor.block_on(until(&handle, || done.get()));
}

#[test]
fn the_end_of_a_reactor_drops_tasks_and_frees_buffers() {
    for _ in 0..20 {
        let reactor = Reactor::new(&config()).unwrap();
        let handle = reactor.handle();
        let (socket, peer) = connection();
        let alive = Rc::new(());
        let (held, inner, theirs) = (alive.clone(), handle.clone(), socket.clone());
        handle
            .spawn(async move {
                let buf = inner.buffers().take().await;
                let _ = inner.recv(&theirs, buf, 0, 100).await;
                drop(held);
            })
            .unwrap();
        // One outlives the reactor, and one was never submitted.
        let mut outlives = None;
        reactor.block_on(async {
            let buf = handle.buffers().take().await;
            outlives = Some(handle.recv(&socket, buf, 0, 100));
            handle.yield_now().await;
        });
        let unsubmitted = handle.recv(&socket, handle.buffers().try_take().unwrap(), 0, 100);
        let pool = handle.buffers().clone();
        drop(reactor);
        assert_eq!(Rc::strong_count(&alive), 1, "the task is gone");
        assert_eq!(handle.stats().parked, 0);
        assert_eq!(pool.free(), common::BUFFERS - 2, "the task's buffer is back, the futures' are not");
        drop((outlives, unsubmitted));
        assert_eq!(pool.free(), common::BUFFERS);
        assert!(handle.spawn(async {}).is_err());
        let late =
            Reactor::new(&config()).unwrap().block_on(handle.recv(&socket, pool.try_take().unwrap(), 0, 1));
        assert_eq!(late.0.unwrap_err().raw_os_error(), Some(nix::errno::Errno::ECANCELED as i32));
        drop(peer);
    }
}

#[test]
fn a_wake_after_the_end_does_nothing() {
    let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
    for _ in 0..3 {
        let reactor = Reactor::new(&config()).unwrap();
        let (handle, list) = (reactor.handle(), wakers.clone());
        handle
            .spawn(poll_fn(move |cx| {
                list.lock().unwrap().push(cx.waker().clone());
                Poll::Pending
            }))
            .unwrap();
        reactor.block_on(async {
            handle.yield_now().await;
            handle.yield_now().await;
        });
        wakers.lock().unwrap().iter().for_each(Waker::wake_by_ref);
        drop(reactor);
        wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    }
}

#[test]
fn wrong_sizes_are_refused_in_words() {
    let check = |change: fn(&mut ReactorConfig), field: &str| {
        let mut config = config();
        change(&mut config);
        let error = Reactor::new(&config).unwrap_err();
        assert!(matches!(&error, RingError::Config { field: f, .. } if *f == field), "{error}");
    };
    check(|c| c.entries = 0, "entries");
    check(|c| c.disk_entries = 1 << 20, "disk_entries");
    check(|c| c.buffer_bytes = 1000, "buffer_bytes");
    check(|c| c.buffers = 20_000, "buffers");
    check(|c| c.tasks_max = 0, "tasks_max");
    let none = ReactorConfig { buffers: 0, ..config() };
    assert_eq!(Reactor::new(&none).unwrap().handle().buffers().count(), 0);
    let pinned = ReactorConfig { cpu: Some(100_000), ..config() };
    assert!(matches!(Reactor::new(&pinned).unwrap_err(), RingError::Pin { cpu: 100_000, .. }));
}
