//! Taking in an object that exists elsewhere: on another mountpath of the node, or at another node.

use std::sync::Arc;

use weir_types::{Bucket, ObjectName};

use super::plan::stale_beside;
use super::step::{Listed, Step};
use super::{Bug, Committer};
use crate::layout::BucketDirs;
use crate::volume::Found;
use crate::{Access, Blocks, Committed, Disk, Durability, Outcome, Prepared, Record, StoreError};

impl<D: Disk> Committer<D> {
    /// The steps of a PUT, with the record that comes along. The commit ID stays, so that whoever has the object too can
    /// tell that it is the same; what is here already and as new, or newer, stays.
    pub(super) async fn plan_adopt(
        &self,
        bucket: Bucket,
        name: ObjectName,
        mut prepared: Prepared<D::File>,
        from: Record,
        damaged: bool,
    ) -> Result<Step<D::File>, StoreError> {
        let dirs = BucketDirs::of(&bucket)?;
        let Found { located, blocked } = self.volume.locate(&dirs, &name, Access::Buffered).await?;
        let present = self.present(&dirs, &name, located.as_ref(), !damaged).await?;
        let stays = |p: &&Record| p.commit > from.commit || (p.commit == from.commit && !damaged);
        if let Some(present) = present.as_ref().filter(|p| stays(p) && !self.has_bug(Bug::AdoptOverNewer)) {
            return Err(StoreError::Precondition {
                what: "commit ID",
                name,
                got: present.commit.to_string(),
            });
        }
        let (to, before) = self.destination(&dirs, &name, located.as_ref(), blocked)?;
        prepared.durability = Durability::Durable;
        let record = Record {
            name: to.is_within(&dirs.named).then(|| name.clone()),
            blocks: match prepared.beside {
                // By an ID of this mountpath: another target's may be that of another file here.
                Some(_) => {
                    let file = self.mountpath().next_commit();
                    Blocks::Beside { block_bytes: prepared.block_bytes, file }
                }
                None => Blocks::Inline { block_bytes: prepared.block_bytes, sums: prepared.sums.clone() },
            },
            spans: Vec::new(),
            part_runs: prepared.part_runs.clone(),
            parts_beside: prepared.parts_beside,
            // Its bytes are synced now, whatever they were.
            boot: None,
            ..from
        };
        let action = self.file_action(prepared, &record, &name, &dirs.beside, to, before).await?;
        let mut step = Step::new(bucket, Some(name), action);
        let record = Arc::new(record);
        step.listed = Listed::Set(record.clone());
        step.durable = true;
        step.stale_beside = stale_beside(&dirs.beside, located.as_ref());
        step.outcome =
            Some(Outcome::Committed(Committed { record, replaced_bytes: present.map(|p| p.size) }));
        Ok(step)
    }
}
