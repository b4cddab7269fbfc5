//! Multipart uploads whose names get another owner while they are open.

use crate::nodes::{Answer, content, until};
use crate::{BUCKET, World};

const UPLOADS: usize = 12;
/// S3's least for every part but the last.
const PART: usize = 5 << 20;

/// An upload in progress, with what was sent of it.
struct Open {
    name: String,
    id: String,
    /// ETag and bytes of each part.
    parts: Vec<(String, Vec<u8>)>,
}

/// Asks again while it is 503: whoever may hold the upload may be away.
fn of(world: &World, through: usize, line: &str, body: &[u8]) -> Answer {
    until("an answer that is final", || {
        world.cluster.ask(through, line, &[], body).filter(|answer| answer.status != 503)
    })
}

impl Open {
    fn begin(world: &World, number: usize) -> Self {
        let name = format!("up{number}");
        let begun = of(world, 1, &format!("POST /s3/{BUCKET}/{name}?uploads"), b"").text();
        let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        Self { name, id, parts: Vec::new() }
    }

    fn path(&self) -> String {
        format!("/s3/{BUCKET}/{}", self.name)
    }

    /// Sends a part, in place of what was sent as that number.
    fn send(&mut self, world: &World, through: usize, number: usize, bytes: Vec<u8>) {
        let line = format!("PUT {}?partNumber={number}&uploadId={}", self.path(), self.id);
        let answer = of(world, through, &line, &bytes);
        assert_eq!(answer.status, 200, "{} {number}: {answer:?}", self.name);
        let part = (answer.field("etag").unwrap().to_owned(), bytes);
        match self.parts.get_mut(number - 1) {
            Some(sent) => *sent = part,
            None => self.parts.push(part),
        }
    }

    /// Its parts as they are listed are those that were sent.
    fn listed(&self, world: &World, through: usize) {
        let listed = of(world, through, &format!("GET {}?uploadId={}", self.path(), self.id), b"").text();
        let etags: Vec<String> = listed
            .split("<ETag>")
            .skip(1)
            .map(|text| text.split('<').next().unwrap().replace("&quot;", "\""))
            .collect();
        let sent: Vec<&String> = self.parts.iter().map(|(etag, _)| etag).collect();
        assert_eq!(etags.iter().collect::<Vec<_>>(), sent, "{}: {listed}", self.name);
    }

    fn complete(&self, world: &World, through: usize) {
        let part = |(n, (etag, _)): (usize, &(String, Vec<u8>))| {
            format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", n + 1)
        };
        let parts: String = self.parts.iter().enumerate().map(part).collect();
        let list = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let line = format!("POST {}?uploadId={}", self.path(), self.id);
        let done = of(world, through, &line, list.as_bytes());
        assert_eq!(done.status, 200, "{}: {done:?}", self.name);
        let whole: Vec<u8> = self.parts.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let got = of(world, (through + 1) % 3, &format!("GET {}", self.path()), b"");
        assert!(got.status == 200 && got.body == whole, "{} is another object", self.name);
    }

    /// The nodes that have something of it on their disk.
    fn holders(&self, world: &World) -> Vec<usize> {
        let dir = |n: &usize| world.dir.path().join(format!("n{n}/mp1/@ais/{BUCKET}/%mu/{}", self.id));
        (1..world.cluster.nodes.len()).filter(|n| dir(n).exists()).collect()
    }
}

/// A part's bytes: some end on the grid of blocks, so that extents can be shared, and some do not.
fn bytes(upload: usize, part: usize, version: u64) -> Vec<u8> {
    let len = PART + if upload.is_multiple_of(2) { 0 } else { 77 * part };
    content((upload as u64) << 20 | (part as u64) << 8 | version, len)
}

fn begun(world: &World) -> Vec<Open> {
    let begin = |number| {
        let mut open = Open::begin(world, number);
        open.send(world, 1 + number % 2, 1, bytes(number, 1, 1));
        open
    };
    (0..UPLOADS).map(begin).collect()
}

/// Every upload is at its owner and nowhere else; it goes on, ends, and is its object.
fn go_on_and_end(world: &World, mut open: Vec<Open>, targets: &[usize]) {
    for (number, upload) in open.iter_mut().enumerate() {
        assert_eq!(upload.holders(world), [world.cluster.owner(BUCKET, &upload.name)], "{}", upload.name);
        let through = targets[number % targets.len()];
        upload.listed(world, through);
        let next = upload.parts.len() + 1;
        upload.send(world, through, next, bytes(number, next, 1));
        if number % 3 == 0 {
            upload.send(world, 0, 1, bytes(number, 1, 2));
        }
    }
    let all = of(world, 0, &format!("GET /s3/{BUCKET}?uploads"), b"").text();
    assert!(open.iter().all(|upload| all.matches(&upload.id).count() == 1), "{all}");
    let dropped = open.pop().unwrap();
    let line = format!("DELETE {}?uploadId={}", dropped.path(), dropped.id);
    assert_eq!(of(world, 0, &line, b"").status, 204);
    for (number, upload) in open.iter().enumerate() {
        upload.complete(world, targets[number % targets.len()]);
    }
    let all = of(world, 0, &format!("GET /s3/{BUCKET}?uploads"), b"").text();
    assert!(!all.contains("<UploadId>"), "{all}");
    assert!(open.iter().chain([&dropped]).all(|upload| upload.holders(world).is_empty()));
}

#[test]
fn uploads_go_on_when_a_target_joins() {
    let mut world = World::new(2, 20);
    let mut open = begun(&world);
    let added = world.add();
    // Some go on before anything has moved, and in the middle; the new target is killed meanwhile.
    world.target(added, 0);
    for (number, upload) in open.iter_mut().enumerate().take(UPLOADS / 2) {
        upload.send(&world, number % 3, 2, bytes(number, 2, 1));
        if number == 2 {
            world.cluster.nodes[added].kill();
            world.cluster.nodes[added].start();
        }
    }
    world.rebalanced(1);
    assert!(open.iter().any(|upload| upload.holders(&world) == [added]), "no upload has the new owner");
    go_on_and_end(&world, open, &[1, 2, added]);
}

#[test]
fn uploads_go_on_when_a_target_leaves() {
    let world = World::new(3, 20);
    let open = begun(&world);
    assert!(open.iter().any(|upload| upload.holders(&world) == [3]), "no upload is the leaver's");
    let id = world.target(3, 0);
    assert_eq!(world.act("start-maintenance", &id).status, 200);
    world.rebalanced(1);
    go_on_and_end(&world, open, &[1, 2]);
}
