//! Multipart uploads and cold flights: what the committer does besides naming objects.

use std::sync::Arc;

use weir_types::limits::{COMMIT_QUEUE_MAX, PARTS_MAX, UPLOADS_MAX};
use weir_types::{Bucket, ObjectName};

use super::Committer;
use super::plan::stale_beside;
use super::step::{Action, Step};
use crate::layout::{BucketDirs, UPLOAD_FILE};
use crate::multipart::part_file;
use crate::volume::Look;
use crate::work::WorkFile;
use crate::writer::Body;
use crate::{
    Access, Attrs, CommitId, Disk, DiskError, DiskErrorKind, DiskPath, Durability, Etag, Flight, FlightError,
    Outcome, PartInfo, Prepared, StoreError,
};

/// Flights kept in the table; those that are over are removed when there are more.
const FLIGHTS_MAX: usize = COMMIT_QUEUE_MAX;

type Planned<F> = Result<Step<F>, StoreError>;

impl<D: Disk> Committer<D> {
    pub(super) async fn plan_create_upload(
        &self,
        bucket: Bucket,
        name: ObjectName,
        attrs: Attrs,
        known: Option<String>,
        durable: bool,
        now_ns: u64,
    ) -> Planned<D::File> {
        let is_id = |id: &String| CommitId::parse(id.as_bytes()).is_some();
        if let Some(id) = known.as_ref().filter(|id| !is_id(id)) {
            return Err(StoreError::NoSuchUpload { id: id.clone() });
        }
        let others = match &known {
            Some(id) => self.volume.upload_of_any(&bucket, id).await?.filter(|there| there.name != name),
            None => None,
        };
        if let Some(there) = others {
            return Err(StoreError::NoSuchUpload { id: there.id });
        }
        if self.uploads.values().sum::<usize>() >= UPLOADS_MAX {
            return Err(StoreError::TooMany { what: "uploads in progress", max: UPLOADS_MAX });
        }
        let durability = if durable { Durability::Durable } else { Durability::Relaxed };
        let disk = &self.volume.disk;
        let work = WorkFile::take(disk, self.mountpath(), false).await?;
        let empty = crate::blocks::Summer::new(0).finish();
        let prepared = Prepared::new(
            disk,
            self.mountpath(),
            Body::File(work),
            empty,
            Vec::new(),
            Vec::new(),
            durability,
        )
        .await?;
        let commit = self.mountpath().next_commit();
        let id = known.unwrap_or_else(|| self.mountpath().upload_id(commit));
        let mut record = self.new_record(&prepared, &attrs, commit, now_ns);
        record.name = Some(name.clone());
        record.etag = attrs.etag.clone();
        // The upload itself is not in doubt after a power loss: it is there or not.
        record.boot = None;
        let dir = BucketDirs::of(&bucket)?.uploads.join(&id)?;
        let to = dir.join(UPLOAD_FILE)?;
        let action = self.file_action(prepared, &record, &name, &dir, to, Vec::new()).await?;
        let mut step = Step::new(bucket, Some(name), action);
        step.durable = durable;
        step.uploads_more = 1;
        step.outcome = Some(Outcome::Upload(id));
        Ok(step)
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one request")]
    pub(super) async fn plan_part(
        &self,
        bucket: Bucket,
        name: ObjectName,
        upload: &str,
        number: u32,
        prepared: Prepared<D::File>,
        etag: Option<Etag>,
        now_ns: u64,
    ) -> Planned<D::File> {
        if !(1..=PARTS_MAX).contains(&number) {
            let expected = format!("a number from 1 to {PARTS_MAX}");
            return Err(StoreError::Part {
                id: upload.to_owned(),
                number,
                expected,
                got: number.to_string(),
            });
        }
        self.volume.upload(&bucket, &name, upload).await?;
        let dir = BucketDirs::of(&bucket)?.uploads.join(upload)?;
        let to = dir.join(part_file(number))?;
        let present = match self.volume.locate_at(to.clone(), Access::Buffered).await? {
            Look::Here(located) => Some(*located),
            Look::Absent | Look::Blocked => None,
        };
        let attrs = Attrs { etag, ..Attrs::default() };
        let record = self.new_record(&prepared, &attrs, self.mountpath().next_commit(), now_ns);
        let durable = prepared.durability == Durability::Durable;
        let action = self.file_action(prepared, &record, &name, &dir, to, Vec::new()).await?;
        let mut step = Step::new(bucket, Some(name), action);
        step.durable = durable;
        step.stale_beside = stale_beside(&dir, present.as_ref());
        step.outcome = Some(Outcome::Part(PartInfo { number, record }));
        Ok(step)
    }

    pub(super) async fn plan_abort(
        &self,
        bucket: Bucket,
        name: ObjectName,
        upload: &str,
        durable: bool,
    ) -> Planned<D::File> {
        self.volume.upload(&bucket, &name, upload).await?;
        let path = BucketDirs::of(&bucket)?.uploads.join(upload)?;
        let mut step = Step::new(bucket, Some(name), Action::Tree { path });
        step.durable = durable;
        step.removal = true;
        step.uploads_more = -1;
        step.outcome = Some(Outcome::Aborted);
        Ok(step)
    }

    /// Removes an upload whose object is in place. Were it to come back, recovery would know it by the object's record.
    pub(super) async fn remove_upload(&mut self, dir: &DiskPath, durable: bool) -> Result<(), DiskError> {
        match self.doom(dir).await {
            // Moved by an earlier try.
            Err(e) if e.kind == DiskErrorKind::NotFound => {}
            done => done?,
        }
        match dir.parent() {
            Some(parent) if durable => self.volume.disk.sync_dir(&parent).await,
            _ => Ok(()),
        }
    }

    pub(super) fn count_uploads(&mut self, name: &(Bucket, Option<ObjectName>), more: i8) {
        match (&name.1, more) {
            (None, _) => {
                self.uploads.remove(&name.0);
            }
            (_, 0) => {}
            (_, more) => {
                let count = self.uploads.entry(name.0.clone()).or_default();
                *count = count.saturating_add_signed(more.into());
            }
        }
    }

    /// Leads a flight of the name if nobody does.
    pub(super) fn cold(&mut self, step: &mut Step<D::File>) -> Outcome<D::File> {
        let (bucket, Some(name)) = &step.name else { return Outcome::Destroyed };
        if self.flights.len() >= FLIGHTS_MAX {
            self.flights.retain(|_, flight| !flight.is_over());
        }
        let key = (bucket.clone(), name.clone());
        match self.flights.get(&key).filter(|flight| !flight.is_over()) {
            Some(flight) => Outcome::Follow(Arc::clone(flight)),
            None => {
                let flight = Flight::new();
                let lead = flight.lead();
                self.flights.insert(key, flight);
                Outcome::Lead(lead)
            }
        }
    }

    /// Ends the flights of a bucket that goes away: their objects must not bring it back.
    pub(super) fn break_flights(&self, bucket: &Bucket) {
        for (_, flight) in self.flights.iter().filter(|((b, _), _)| b == bucket) {
            flight.break_off(FlightError::Abandoned);
        }
    }
}
