//! What names may be: the set of states that a crash may leave, kept beside a script of operations.

use std::collections::{BTreeMap, BTreeSet};

use weir_store::sim::Crash;
use weir_store::{Change, CustomChange, Durability, FlightHead, Outcome, StoreError, Terms};
use weir_types::ChecksumKind;

use super::*;

/// An object as the script made it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Object {
    pub content: u64,
    pub size: usize,
    pub version: u64,
    pub custom: BTreeMap<String, String>,
}

pub type State = Option<Object>;
pub type Key = (String, String);

/// The states a name may be in.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// While the host lives.
    pub live: BTreeSet<State>,
    /// After a power loss.
    pub power: BTreeSet<State>,
}

/// The states an upload may be in: known, with these parts, or gone.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    pub key: Key,
    pub id: Option<String>,
    /// Acknowledged parts: number, content, size.
    pub parts: BTreeMap<u32, (u64, usize)>,
    /// Certainly there; certainly gone.
    pub there: bool,
    pub gone: bool,
    /// What the object is if a completion without an answer happened.
    pub completing: Option<Object>,
}

#[derive(Clone, Debug)]
pub enum Op {
    Put(&'static str, &'static str, usize, Durability),
    Delete(&'static str, &'static str, Durability),
    Custom(&'static str, &'static str, &'static str, Durability),
    Cold(&'static str, &'static str, usize),
    Evict(&'static str, &'static str),
    Create(usize, &'static str, &'static str),
    Part(usize, u32, usize),
    Complete(usize, &'static [u32]),
    Abort(usize),
    Destroy(&'static str),
    /// Bytes that are written and given up.
    GiveUp,
    Tend,
}

#[derive(Default)]
pub struct Oracle {
    pub names: BTreeMap<Key, Allowed>,
    pub uploads: Vec<Upload>,
    content: u64,
    pub acked: usize,
}

/// What an operation will have done when it succeeds.
struct Pending {
    key: Option<Key>,
    effect: Effect,
    relaxed: bool,
    /// A relaxed object may also turn out not to have survived.
    may_vanish: bool,
    upload: Option<(usize, UploadStep)>,
}

/// From the state that was to the one that will be.
#[derive(Clone)]
enum Effect {
    Put(u64, usize),
    Delete,
    Custom(String),
    None,
}

impl Effect {
    fn of(&self, old: &State) -> Option<State> {
        match self {
            Self::Put(content, size) => Some(Some(object(*content, *size, old.as_ref()))),
            Self::Delete => Some(None),
            Self::Custom(value) => {
                let mut object = old.clone()?;
                object.custom.insert("k".into(), value.clone());
                Some(Some(object))
            }
            Self::None => None,
        }
    }
}

enum UploadStep {
    Create,
    Part(u32, u64, usize),
    Gone,
}

fn absent() -> BTreeSet<State> {
    BTreeSet::from([None])
}

impl Oracle {
    pub fn new() -> Self {
        Self { uploads: vec![Upload::default(); 8], ..Self::default() }
    }

    fn allowed(&mut self, key: &Key) -> &mut Allowed {
        self.names.entry(key.clone()).or_insert_with(|| Allowed { live: absent(), power: absent() })
    }

    /// Runs operations as one batch.
    pub fn run(&mut self, node: &mut Node, ops: &[Op]) {
        let mut changes = Vec::new();
        let mut pending = Vec::new();
        for op in ops {
            if let Some((change, what)) = self.begin(node, op) {
                changes.push(change);
                pending.push(what);
            }
        }
        let answers = node.execute(changes);
        for (p, answer) in pending.into_iter().zip(answers) {
            self.end(p, answer.err());
        }
    }

    /// Takes an answer, in the order of the batch. An error without a meaning leaves the old state or the new one.
    fn end(&mut self, p: Pending, error: Option<StoreError>) {
        let definite = matches!(
            &error,
            Some(StoreError::NoSpace(_) | StoreError::NotFound { .. } | StoreError::Part { .. })
        );
        let mut completing = None;
        if let (Some(key), false) = (&p.key, definite) {
            let allowed = self.allowed(key);
            let to: BTreeSet<State> = allowed.live.iter().filter_map(|state| p.effect.of(state)).collect();
            completing = to.iter().next().cloned().flatten();
            if error.is_none() {
                allowed.live.clear();
            }
            allowed.live.extend(to.iter().cloned());
            if error.is_none() && !p.relaxed {
                allowed.power.clear();
            }
            allowed.power.extend(to);
            if p.may_vanish {
                allowed.power.insert(None);
            }
        }
        self.acked += usize::from(error.is_none());
        let Some((slot, step)) = p.upload else { return };
        let upload = &mut self.uploads[slot];
        match (step, error.is_none()) {
            (UploadStep::Create, true) => upload.there = true,
            (UploadStep::Part(number, content, size), true) => {
                upload.parts.insert(number, (content, size));
            }
            (UploadStep::Part(number, ..), false) if !definite => {
                upload.parts.remove(&number);
            }
            (UploadStep::Gone, true) => (upload.there, upload.gone) = (false, true),
            (UploadStep::Gone, false) if !definite => (upload.there, upload.completing) = (false, completing),
            _ => {}
        }
    }

    fn begin(&mut self, node: &mut Node, op: &Op) -> Option<(Change<F>, Pending)> {
        let key = |b: &str, n: &str| (b.to_owned(), n.to_owned());
        let named = |key: Key, effect, relaxed, may_vanish| Pending {
            key: Some(key),
            effect,
            relaxed,
            may_vanish,
            upload: None,
        };
        let relaxed = |d: Durability| d == Durability::Relaxed;
        self.content += 1;
        let content = self.content;
        match *op {
            Op::Put(b, n, size, durability) => {
                let content = bytes(content, size);
                let change = node.put_change(b, n, &content, durability).ok()?;
                let effect = Effect::Put(fingerprint(&content), size);
                Some((change, named(key(b, n), effect, relaxed(durability), relaxed(durability))))
            }
            Op::Delete(b, n, durability) => {
                let change = delete(b, n, durability);
                Some((change, named(key(b, n), Effect::Delete, relaxed(durability), false)))
            }
            Op::Evict(b, n) => {
                let change = Change::Evict { bucket: bucket(b), name: name(n) };
                Some((change, named(key(b, n), Effect::Delete, true, false)))
            }
            Op::Custom(b, n, value, durability) => {
                let change = Change::SetCustom {
                    bucket: bucket(b),
                    name: name(n),
                    change: CustomChange::Merge(pairs(&[("k", value)])),
                    terms: Terms::default(),
                    durability,
                };
                Some((change, named(key(b, n), Effect::Custom(value.into()), relaxed(durability), false)))
            }
            Op::Cold(b, n, size) => {
                let content = bytes(content, size);
                let change = cold(node, b, n, &content)?;
                Some((change, named(key(b, n), Effect::Put(fingerprint(&content), size), true, true)))
            }
            Op::Destroy(b) => {
                // Every name of the bucket is one in-flight removal; the script keeps this bucket to one name.
                let change = Change::DestroyBucket { bucket: bucket(b) };
                Some((change, named(key(b, "only"), Effect::Delete, false, false)))
            }
            Op::GiveUp => {
                let _ = node.prepare(&bytes(content, 5000), Durability::Durable);
                None
            }
            Op::Tend => {
                (0..40).any(|_| !sim::block_on(node.committer.tend()));
                None
            }
            Op::Create(..) | Op::Part(..) | Op::Complete(..) | Op::Abort(..) => {
                self.begin_upload(node, op, content)
            }
        }
    }

    fn begin_upload(&mut self, node: &mut Node, op: &Op, content: u64) -> Option<(Change<F>, Pending)> {
        let of = |slot, step| Pending {
            key: None,
            effect: Effect::None,
            relaxed: false,
            may_vanish: false,
            upload: Some((slot, step)),
        };
        match *op {
            Op::Create(slot, b, n) => {
                // The ID is learned from the answer, so the creation is a batch of its own.
                let id = node.create_upload(b, n);
                self.uploads[slot] = Upload {
                    key: (b.to_owned(), n.to_owned()),
                    there: id.is_ok(),
                    id: id.ok(),
                    ..Upload::default()
                };
                self.acked += usize::from(self.uploads[slot].there);
                None
            }
            Op::Part(slot, number, size) => {
                let upload = self.uploads[slot].clone();
                let options = WriteOptions { kinds: &[ChecksumKind::Md5], ..WriteOptions::default() };
                let prepared = node.prepare_as(&bytes(content, size), &options).ok()?;
                let etag = prepared.md5_etag();
                let (bucket, name) = (bucket(&upload.key.0), name(&upload.key.1));
                let change = Change::PutPart { bucket, name, upload: upload.id?, number, prepared, etag };
                Some((change, of(slot, UploadStep::Part(number, content, size))))
            }
            Op::Complete(slot, numbers) => {
                let upload = self.uploads[slot].clone();
                let (b, n) = (upload.key.0.as_str(), upload.key.1.as_str());
                let id = upload.id.clone()?;
                let choice: Vec<_> = numbers.iter().map(|n| PartChoice { number: *n, etag: None }).collect();
                let options = WriteOptions { kinds: &[ChecksumKind::XxHash2], ..WriteOptions::default() };
                let prepared =
                    sim::block_on(node.volume().assemble(&bucket(b), &name(n), &id, &choice, &options));
                let Change::Put(mut change) = put(b, n, prepared.ok()?, Attrs::default()) else {
                    unreachable!()
                };
                change.upload = Some(id);
                let parts: Option<Vec<_>> = numbers.iter().map(|n| upload.parts.get(n).copied()).collect();
                let all: Vec<u8> = parts?.iter().flat_map(|(seed, size)| bytes(*seed, *size)).collect();
                let effect = Effect::Put(fingerprint(&all), all.len());
                let pending = Pending { key: Some(upload.key), effect, ..of(slot, UploadStep::Gone) };
                Some((Change::Put(change), pending))
            }
            Op::Abort(slot) => {
                let upload = self.uploads[slot].clone();
                let change = Change::AbortUpload {
                    bucket: bucket(&upload.key.0),
                    name: name(&upload.key.1),
                    upload: upload.id?,
                    durability: Durability::Durable,
                };
                Some((change, of(slot, UploadStep::Gone)))
            }
            _ => None,
        }
    }

    /// Every name, listing and upload is what it may be.
    pub fn check(&self, node: &Node, crash: Option<Crash>) -> Result<(), String> {
        let power = crash.is_some_and(Crash::is_power_loss);
        let mut present: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let files = node.disk.inner().paths();
        for ((b, n), allowed) in &self.names {
            let got = match node.get(b, n) {
                Ok((content, record)) => Some((content, record)),
                Err(e) if e.is_not_found() => None,
                Err(e) => return Err(format!("{b}/{n}: {e}")),
            };
            let set = if power { &allowed.power } else { &allowed.live };
            if !set.iter().any(|state| fits(state.as_ref(), got.as_ref())) {
                let got = got.map(|(c, r)| (c.len(), r.version, r.custom));
                return Err(format!("{b}/{n}: got {got:?}, expected one of {set:?}"));
            }
            if got.is_some() {
                present.entry(b).or_default().insert(n);
            }
            let hash = weir_types::checksum::of(ChecksumKind::Sha256, n.as_bytes()).hex();
            let escaped = format!("@ais/{b}/%nm/{}/{hash}", &hash[..2]);
            if files.contains(&format!("@ais/{b}/%ob/{n}")) && files.contains(&escaped) {
                return Err(format!("{b}/{n} is both plain and escaped"));
            }
        }
        let buckets: BTreeSet<&str> = self.names.keys().map(|(b, _)| b.as_str()).collect();
        for b in buckets {
            let listed = node.list_all(b);
            let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
            let there = present.remove(b).unwrap_or_default();
            if let Some(missing) = there.difference(&listed).next() {
                return Err(format!("{b}/{missing} is there and not listed"));
            }
            for extra in listed.difference(&there) {
                // A relaxed object that did not survive is found out when it is opened.
                let key = (b.to_owned(), (*extra).to_owned());
                let doubtful = power && self.names.get(&key).is_some_and(|a| a.power.len() > 1);
                if !doubtful {
                    return Err(format!("{b}/{extra} is listed and not there"));
                }
            }
        }
        self.uploads.iter().try_for_each(|upload| check_upload(upload, node))
    }
}

fn check_upload(upload: &Upload, node: &Node) -> Result<(), String> {
    let Some(id) = &upload.id else { return Ok(()) };
    let (b, n) = (upload.key.0.as_str(), upload.key.1.as_str());
    let found = sim::block_on(node.volume().parts(&bucket(b), &name(n), id));
    match found {
        Err(StoreError::NoSuchUpload { .. }) if !upload.there => match &upload.completing {
            Some(object) if !fits(Some(object), node.get(b, n).ok().as_ref()) => {
                Err(format!("upload of {b}/{n} is gone, and its object is not there"))
            }
            _ => Ok(()),
        },
        // A completed upload that could not be removed waits for housekeeping, or for the next life.
        Ok(_) if upload.gone && node.mountpath.poisoned().is_none() => {
            Err(format!("upload of {b}/{n} is there and should be gone"))
        }
        Ok(parts) => {
            let sizes: BTreeMap<u32, u64> = parts.iter().map(|p| (p.number, p.record.size)).collect();
            let missing =
                upload.parts.iter().find(|(number, (_, size))| sizes.get(*number) != Some(&(*size as u64)));
            missing.map_or(Ok(()), |(number, _)| Err(format!("part {number} of {b}/{n} is lost: {sizes:?}")))
        }
        Err(e) => Err(format!("upload of {b}/{n}: {e}")),
    }
}

fn object(content: u64, size: usize, old: Option<&Object>) -> Object {
    Object { content, size, version: old.map_or(0, |o| o.version) + 1, custom: BTreeMap::new() }
}

fn fits(state: Option<&Object>, got: Option<&(Vec<u8>, Record)>) -> bool {
    match (state, got) {
        (None, None) => true,
        (Some(o), Some((content, record))) => {
            let custom: BTreeMap<String, String> =
                record.custom.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            o.size == content.len()
                && o.version == record.version
                && o.custom == custom
                && o.content == fingerprint(content)
        }
        _ => false,
    }
}

/// Names a content.
fn fingerprint(content: &[u8]) -> u64 {
    let sum = weir_types::checksum::of(ChecksumKind::XxHash2, content).value;
    u64::from_be_bytes(sum.try_into().unwrap())
}

/// A cold object arrives: its flight is led, its bytes are written relaxed.
fn cold(node: &mut Node, b: &str, n: &str, content: &[u8]) -> Option<Change<F>> {
    let begin = Change::ColdBegin { bucket: bucket(b), name: name(n) };
    let Ok(Outcome::Lead(lead)) = node.one(begin) else { return None };
    let prepared = sim::block_on(async {
        let options = WriteOptions { durability: Durability::Relaxed, ..WriteOptions::default() };
        let mut writer = node.volume().writer(&options).await.ok()?;
        lead.begin(FlightHead { size: Some(content.len() as u64), ..FlightHead::default() }, &writer);
        for piece in content.chunks(4096) {
            writer.write(piece.to_vec()).await.1.ok()?;
            lead.advance(writer.written());
        }
        writer.finish(&Expected::default()).await.ok()
    })?;
    let Change::Put(mut change) = put(b, n, prepared, Attrs::default()) else { unreachable!() };
    change.flight = Some(lead);
    Some(Change::Put(change))
}
