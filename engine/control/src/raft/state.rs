//! The replicated state, and how a command changes it: a pure function, the same on every node.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_cluster::{Bmd, BucketInfo, BucketProps, BucketPropsPatch, ClusterConfig, ClusterView, Smap};
use weir_types::{Bucket, Provider};

use super::command::{Applied, Command, Refused};

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
        let removing = self.view.as_ref().map(|v| v.bmd.removing()).filter(|r| !r.is_empty());
        // Behind the image, and only if there are any: snapshots without them stay what they always were.
        if let Some(removing) = removing {
            bytes.extend(postcard::to_stdvec(removing)?);
        }
        Ok(bytes)
    }

    /// The state in a snapshot.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (image, rest): (Option<Image>, _) = postcard::take_from_bytes(bytes)?;
        let removing: BTreeSet<Bucket> = match rest {
            [] => BTreeSet::new(),
            rest => postcard::from_bytes(rest)?,
        };
        let view = image.map(|i| ClusterView {
            index: i.index,
            smap: Arc::new(i.smap),
            bmd: Arc::new(i.bmd.with_removing(removing)),
            config: Arc::new(i.config),
            config_version: i.config_version,
            config_updated_ns: i.config_updated_ns,
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
        let bucket = match (&mut self.view, command) {
            (None, Command::Form { uuid, now_ns, primary, config }) => {
                config.validate()?;
                self.view = Some(ClusterView {
                    index,
                    smap: Arc::new(Smap::new(uuid.clone(), now_ns, *primary)),
                    bmd: Arc::new(Bmd::new(uuid)),
                    config: Arc::new(*config),
                    config_version: 1,
                    config_updated_ns: now_ns,
                });
                None
            }
            (None, _) => return Err(Refused::NotFormed),
            (Some(view), Command::Form { .. }) => return Err(Refused::Formed(view.smap.uuid.clone())),
            (Some(view), Command::PutNode(node)) => {
                // A copy of the map only if it changes: everybody holds the old one.
                if view.smap.node(node.id.as_str()) != Some(&*node) {
                    Arc::make_mut(&mut view.smap).put(*node);
                }
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
        };
        Ok(Applied { index, bucket: bucket.map(Box::new) })
    }
}

fn set_config(view: &mut ClusterView, config: ClusterConfig, now_ns: u64) {
    view.config = Arc::new(config);
    view.config_version += 1;
    view.config_updated_ns = now_ns;
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
        Command::DestroyBucket { bucket, bid } => {
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
