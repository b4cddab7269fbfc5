//! Appends whose names get another owner before they are flushed.

use crate::nodes::{Answer, ask, content, until};
use crate::{BUCKET, World};

const APPENDS: usize = 24;

/// An append in progress, with what its flush is to make.
struct Open {
    name: String,
    handle: String,
    whole: Vec<u8>,
}

/// As a client does that follows the gateway's redirect, and asks again while the answer is 503.
fn put(world: &World, query: &str, name: &str, body: &[u8]) -> Answer {
    let line = format!("PUT /v1/objects/{BUCKET}/{name}?provider=ais{query}");
    until("an answer that is final", || {
        let sent_on = world.cluster.ask(0, &line, &[], b"").filter(|answer| answer.status == 307)?;
        let (port, target) = sent_on.field("location")?.strip_prefix("http://127.0.0.1:")?.split_once('/')?;
        ask(port.parse().unwrap(), &format!("PUT /{target}"), &[], body).filter(|answer| answer.status != 503)
    })
}

impl Open {
    fn begin(world: &World, number: usize) -> Self {
        let mut open = Self { name: format!("log{number}"), handle: String::new(), whole: Vec::new() };
        if number.is_multiple_of(2) {
            open.whole = content(number as u64, 20_000 * (number + 1));
            assert_eq!(put(world, "", &open.name, &open.whole).status, 200);
        }
        open.add(world, 70_000);
        open
    }

    fn ask(&self, world: &World, kind: &str, body: &[u8]) -> Answer {
        let handle = self.handle.replace('|', "%7C");
        put(world, &format!("&append_type={kind}&append_handle={handle}"), &self.name, body)
    }

    fn add(&mut self, world: &World, bytes: usize) {
        let piece = content(self.whole.len() as u64 + 99, bytes);
        let answer = self.ask(world, "append", &piece);
        assert_eq!(answer.status, 200, "{}: {answer:?}", self.name);
        self.handle = answer.field("ais-append-handle").unwrap().to_owned();
        self.whole.extend_from_slice(&piece);
    }

    fn flush(&self, world: &World) {
        assert_eq!(self.ask(world, "flush", b"").status, 200, "{}", self.name);
        let got = world.cluster.of(1, &format!("GET /s3/{BUCKET}/{}", self.name), &[], b"");
        assert!(got.status == 200 && got.body == self.whole, "{} is another object", self.name);
    }
}

#[test]
fn appends_go_on_when_a_target_joins() {
    let mut world = World::new(2, 20);
    let mut open: Vec<Open> = (0..APPENDS).map(|number| Open::begin(&world, number)).collect();
    let added = world.add();
    // Some go on before anything has moved, and in the middle.
    world.target(added, 0);
    open.iter_mut().take(APPENDS / 2).for_each(|open| open.add(&world, 5));
    world.rebalanced(1);
    let moved = open.iter().filter(|open| world.cluster.owner(BUCKET, &open.name) == added).count();
    assert!(moved > 0, "no append has the new owner");
    for open in &mut open {
        open.add(&world, 300_000);
        open.flush(&world);
    }
}
