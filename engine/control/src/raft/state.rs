//! The replicated state, and how a command changes it: a pure function, the same on every node.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_cluster::{
    Bmd, BucketInfo, BucketProps, BucketPropsPatch, ClusterConfig, ClusterView, JobId, JobOrder, Jobs,
    Moving, Node, NodeFlags, NodeId, Smap,
};
use weir_types::limits::{JOBS_RUNNING_MAX, NODES_MAX};
use weir_types::{Bucket, Provider};

use super::command::{Applied, Command, Refused};
use super::{copies, owners};

/// What all nodes agree on. Empty until the cluster is made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct State {
    view: Option<ClusterView>,
}

/// The state as a snapshot holds it.
#[derive(Serialize, Deserialize)]
struct Image {
    index: u64,
    smap: Smap,
    bmd: Bmd,
    config: ClusterConfig,
    config_version: u64,
    config_updated_ns: u64,
}

impl State {
    /// The state as the rest of the node sees it; none before the cluster is made.
    pub(crate) fn view(&self) -> Option<&ClusterView> {
        self.view.as_ref()
    }

    /// Bytes from which [`State::decode`] makes the same state.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let image = self.view.as_ref().map(|v| Image {
            index: v.index,
            smap: Smap::clone(&v.smap),
            bmd: Bmd::clone(&v.bmd),
            config: ClusterConfig::clone(&v.config),
            config_version: v.config_version,
            config_updated_ns: v.config_updated_ns,
        });
        let mut bytes = postcard::to_stdvec(&image)?;
        // Behind the image, and only if there are any: snapshots without them stay what they always were.
        if let Some(view) = &self.view {
            let (removing, jobs) = (view.bmd.removing(), &view.jobs);
            let moving = view.moving.as_deref();
            if !removing.is_empty() || !jobs.is_empty() || moving.is_some() {
                bytes.extend(postcard::to_stdvec(removing)?);
            }
            if !jobs.is_empty() || moving.is_some() {
                bytes.extend(postcard::to_stdvec(jobs.as_ref())?);
            }
            if let Some(moving) = moving {
                bytes.extend(postcard::to_stdvec(moving)?);
            }
        }
        Ok(bytes)
    }

    /// The state in a snapshot.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (image, rest): (Option<Image>, _) = postcard::take_from_bytes(bytes)?;
        let (removing, rest): (BTreeSet<Bucket>, &[u8]) = match rest {
            [] => (BTreeSet::new(), rest),
            rest => postcard::take_from_bytes(rest)?,
        };
        let (jobs, rest): (Jobs, &[u8]) = match rest {
            [] => (Jobs::default(), rest),
            rest => postcard::take_from_bytes(rest)?,
        };
        let moving: Option<Moving> = match rest {
            [] => None,
            rest => Some(postcard::from_bytes(rest)?),
        };
        let view = image.map(|i| ClusterView {
            index: i.index,
            smap: Arc::new(i.smap),
            bmd: Arc::new(i.bmd.with_removing(removing)),
            config: Arc::new(i.config),
            config_version: i.config_version,
            config_updated_ns: i.config_updated_ns,
            jobs: Arc::new(jobs),
            moving: moving.map(Arc::new),
            me: Arc::default(),
        });
        Ok(Self { view })
    }

    /// Notes that the log got to `index` without a command.
    pub(crate) fn advance(&mut self, index: u64) {
        if let Some(view) = &mut self.view {
            view.index = index;
        }
    }

    /// Carries out `command`, the log's entry `index`. A refusal changes nothing but the index.
    pub(crate) fn apply(&mut self, index: u64, command: Command) -> Result<Applied, Refused> {
        self.advance(index);
        let before = self.view.as_ref().map(|view| view.smap.clone());
        let renames = self.view.as_ref().map(copies::renames).unwrap_or_default();
        let bucket = self.carry_out(index, command)?;
        if let Some(view) = self.view.as_mut().filter(|_| !renames.is_empty()) {
            copies::follow(view, &renames);
        }
        if let (Some(before), Some(view)) = (before, &mut self.view) {
            owners::settle(view, &before);
        }
        Ok(Applied { index, bucket: bucket.map(Box::new) })
    }

    fn carry_out(&mut self, index: u64, command: Command) -> Result<Option<BucketInfo>, Refused> {
        Ok(match (&mut self.view, command) {
            (None, Command::Form { uuid, now_ns, primary, config }) => {
                config.validate()?;
                self.view = Some(ClusterView {
                    index,
                    smap: Arc::new(Smap::new(uuid.clone(), now_ns, *primary)),
                    bmd: Arc::new(Bmd::new(uuid)),
                    config: Arc::new(*config),
                    config_version: 1,
                    config_updated_ns: now_ns,
                    jobs: Arc::default(),
                    moving: None,
                    me: Arc::default(),
                });
                None
            }
            (None, _) => return Err(Refused::NotFormed),
            (Some(view), Command::Form { .. }) => return Err(Refused::Formed(view.smap.uuid.clone())),
            (Some(view), Command::PutNode(node)) => put_node(view, *node)?,
            (Some(view), Command::Admit(mut node)) => {
                let present = view.smap.node(node.id.as_str());
                node.flags = present.map_or(node.flags, |p| p.flags.without(NodeFlags::AWAY));
                put_node(view, *node)?
            }
            (Some(view), Command::SetFlags { node, set, clear }) => {
                owners::expect_others(view, &node, set)?;
                let of_node = |smap: &mut Smap| smap.set_flags(node.as_str(), set, clear);
                change_map(view, &node, of_node)?
            }
            (Some(view), Command::SetPrimary { gateway }) => {
                change_map(view, &gateway, |smap| smap.set_primary(gateway.as_str()))?
            }
            (Some(view), Command::RemoveNode { node }) => {
                let changed = change_map(view, &node, |smap| smap.remove(node.as_str()))?;
                Arc::make_mut(&mut view.jobs).leave(&node);
                changed
            }
            (Some(view), Command::StartJob { id, order, now_ns }) => {
                start_job(view, id, *order, now_ns)?;
                None
            }
            (Some(view), Command::StopJob { id, why }) => {
                Arc::make_mut(&mut view.jobs).stop(&id, &why);
                None
            }
            (Some(view), Command::EndPart { job, target, done, now_ns }) => {
                owners::note_end(view, &job, &target, &done);
                Arc::make_mut(&mut view.jobs).end_part(&job, &target, done, now_ns);
                None
            }
            (Some(view), Command::SetConfig { config, now_ns }) => {
                let config = view.config.patched(&config)?;
                set_config(view, config, now_ns);
                None
            }
            (Some(view), Command::ResetConfig { now_ns }) => {
                set_config(view, ClusterConfig::default(), now_ns);
                None
            }
            (Some(view), command) => apply_to_bucket(view, command)?,
        })
    }
}

fn put_node(view: &mut ClusterView, node: Node) -> Result<Option<BucketInfo>, Refused> {
    let present = view.smap.node(node.id.as_str());
    if present.is_none() && view.smap.len() >= NODES_MAX {
        return Err(Refused::TooManyNodes(NODES_MAX as u64));
    }
    // A copy of the map only if it changes: everybody holds the old one.
    if present != Some(&node) {
        Arc::make_mut(&mut view.smap).put(node);
    }
    Ok(None)
}

/// Changes the map of a node that must be on it.
fn change_map(
    view: &mut ClusterView,
    node: &NodeId,
    change: impl FnOnce(&mut Smap) -> bool,
) -> Result<Option<BucketInfo>, Refused> {
    if view.smap.node(node.as_str()).is_some() && change(Arc::make_mut(&mut view.smap)) {
        return Ok(None);
    }
    Err(Refused::NodeNotFound(node.clone()))
}

fn set_config(view: &mut ClusterView, config: ClusterConfig, now_ns: u64) {
    view.config = Arc::new(config);
    view.config_version += 1;
    view.config_updated_ns = now_ns;
}

/// A job has a part at every target that is active at its begin; a rebalance at those that may hold objects of others.
fn start_job(view: &mut ClusterView, id: JobId, mut order: JobOrder, now_ns: u64) -> Result<(), Refused> {
    if let Some(version) = order.rebalances() {
        let targets = owners::rebalancing(view, version)?;
        Arc::make_mut(&mut view.jobs).start(id, order, now_ns, targets);
        return Ok(());
    }
    if !view.jobs.has_room() {
        return Err(Refused::TooManyJobs(JOBS_RUNNING_MAX as u64));
    }
    if let Some(bucket) = order.bucket() {
        view.bmd.expect(bucket)?;
        if view.smap.active_targets().next().is_none() {
            // It would have ended with nothing done.
            return Err(Refused::Invalid("no target is in service".into()));
        }
        owners::begin_due(view, now_ns)?;
    }
    if let JobOrder::CopyObjects(copy) = &mut order {
        copies::begin(view, copy, now_ns)?;
    }
    let targets = match order.target() {
        Some(target) => view.smap.targets.keys().filter(|id| *id == target).cloned().collect(),
        None => view.smap.active_targets().map(|target| target.id.clone()).collect(),
    };
    Arc::make_mut(&mut view.jobs).start(id, order, now_ns, targets);
    Ok(())
}

/// Commands about one bucket; gives the bucket.
fn apply_to_bucket(view: &mut ClusterView, command: Command) -> Result<Option<BucketInfo>, Refused> {
    let bucket = match command {
        Command::CreateBucket { bucket, props, now_ns } => create(view, bucket, &props, now_ns)?,
        Command::AddRemoteBucket { bucket, now_ns } => match view.bmd.get(&bucket) {
            Some(_) => bucket,
            None if is_elsewhere(&bucket) => {
                let nothing = BucketPropsPatch::new([], false)?;
                create(view, bucket, &nothing, now_ns)?
            }
            None => return Err(Refused::Invalid(format!("bucket \"{bucket}\" is not remote"))),
        },
        Command::DestroyMarked { bucket, .. } if !view.bmd.removing().contains(&bucket) => {
            return Err(Refused::Invalid(format!(
                "bucket \"{bucket}\" is not on its way out any more: try again"
            )));
        }
        Command::DestroyBucket { bucket, bid } | Command::DestroyMarked { bucket, bid } => {
            let present = view.bmd.expect(&bucket)?;
            if bid.is_some_and(|bid| bid != present.bid) {
                return Err(Refused::BucketNotFound(bucket));
            }
            return Ok(Some(Arc::make_mut(&mut view.bmd).destroy(&bucket)?));
        }
        Command::BeginRemoval { bucket, bid } => {
            let present = view.bmd.expect(&bucket)?;
            if bid.is_some_and(|bid| bid != present.bid) {
                return Err(Refused::BucketNotFound(bucket));
            }
            Arc::make_mut(&mut view.bmd).begin_removal(&bucket)?;
            bucket
        }
        Command::EndRemoval { bucket } => {
            Arc::make_mut(&mut view.bmd).end_removal(&bucket);
            bucket
        }
        Command::SetBucketProps { bucket, props } => {
            let present = view.bmd.expect(&bucket)?;
            let props = present.props.patched(&props, &bucket, view.smap.active_targets().count())?;
            set_props(view, &bucket, props)?;
            bucket
        }
        Command::ResetBucketProps { bucket } => {
            view.bmd.expect(&bucket)?;
            let props = BucketProps::inherit(&view.config, &bucket);
            set_props(view, &bucket, props)?;
            bucket
        }
        // Commands about something else never come here.
        _ => return Ok(None),
    };
    Ok(view.bmd.get(&bucket).cloned())
}

/// Whether the data of record is not in this cluster.
fn is_elsewhere(bucket: &Bucket) -> bool {
    bucket.provider != Provider::Ais || !bucket.namespace.uuid.is_empty()
}

fn create(
    view: &mut ClusterView,
    bucket: Bucket,
    props: &BucketPropsPatch,
    now_ns: u64,
) -> Result<Bucket, Refused> {
    // Asked before the copy of the map is made.
    if view.bmd.get(&bucket).is_some() {
        return Err(Refused::BucketExists(bucket));
    }
    if view.bmd.removing().contains(&bucket) {
        return Err(Refused::BucketBeingRemoved(bucket));
    }
    let targets = view.smap.active_targets().count();
    let props = BucketProps::inherit(&view.config, &bucket).patched(props, &bucket, targets)?;
    Arc::make_mut(&mut view.bmd).create(bucket.clone(), props, now_ns)?;
    Ok(bucket)
}

fn set_props(view: &mut ClusterView, bucket: &Bucket, props: BucketProps) -> Result<(), Refused> {
    if view.bmd.expect(bucket)?.props != props {
        Arc::make_mut(&mut view.bmd).set_props(bucket, props)?;
    }
    Ok(())
}
