//! The one writer of a mountpath's names.
//!
//! When a change is answered, it survives what its durability says; before that, readers see the old state or the new
//! one, never a mixture. A round carries out changes of different names side by side:
//!
//! | step | call | afterwards durable | dying here leaves |
//! |---|---|---|---|
//! | 1 | record set on the work file | - | old state; work file swept |
//! | 2 | work files synced | bytes and record, under no name | old state; work file swept |
//! | 3 | file beside the object named, its directory synced | block checksums | old state; orphan found by the sweep |
//! | 4 | rename, unlink, or attribute set | - | old or new state, whole |
//! | 5 | directories (and changed files) synced | the new state | new state |
//! | 6 | answer; then what became useless is removed | | new state; leftovers swept |
//!
//! A relaxed change leaves out 2, 3's sync and 5: its record names the boot, so that after a power loss it is believed
//! only after all of it was read and checked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use weir_types::{Bucket, ObjectName};

use crate::journal::Journal;
use crate::{
    Change, Disk, DiskError, DiskErrorKind, DiskPath, Flight, Mountpath, Request, StoreError, Volume,
};

mod adopt;
mod dirs;
mod filing;
mod journaled;
mod plan;
mod planted;
mod replay;
mod round;
mod step;
mod tend;
mod upload;

use crate::generation::{Generations, Slot};
use planted::Bug;
#[cfg(any(test, feature = "sim"))]
pub use planted::Planted;
use step::{Action, Step};

/// The committer of one mountpath; it lives on one thread and is the only one to change names there.
pub struct Committer<D: Disk> {
    volume: Volume<D>,
    /// Directories whose own entries are durable, made known by a sync of their parents in this life.
    known_dirs: HashSet<DiskPath>,
    flights: HashMap<(Bucket, ObjectName), Arc<Flight<D::File>>>,
    /// Directories in `%wk/` that are to be removed with all they hold.
    doomed: Vec<DiskPath>,
    /// Directories of completed uploads that could not be moved there yet.
    over: Vec<DiskPath>,
    sweep: tend::Sweep,
    /// Uploads in progress, of each bucket.
    uploads: HashMap<Bucket, usize>,
    /// Where small changes go first; none before [`recover`](Self::recover), nor where the mountpath has none.
    journal: Option<Journal<D>>,
    #[cfg(any(test, feature = "sim"))]
    planted: Option<Planted>,
}

impl<D: Disk> Committer<D> {
    /// The committer of a mountpath; there must be one only.
    pub fn new(disk: D, mountpath: Arc<Mountpath<D::File>>) -> Self {
        Self {
            volume: Volume::new(disk, mountpath),
            known_dirs: HashSet::new(),
            flights: HashMap::new(),
            doomed: Vec::new(),
            over: Vec::new(),
            sweep: tend::Sweep::default(),
            uploads: HashMap::new(),
            journal: None,
            #[cfg(any(test, feature = "sim"))]
            planted: None,
        }
    }

    /// Its own view of the mountpath.
    pub fn volume(&self) -> &Volume<D> {
        &self.volume
    }

    /// Puts a bug in.
    #[cfg(any(test, feature = "sim"))]
    pub fn plant(&mut self, bug: Planted) {
        self.planted = Some(bug);
        let bugs = self.journal_bugs();
        if let Some(journal) = &mut self.journal {
            journal.plant(bugs);
        }
    }

    /// Carries out a batch (best [`weir_types::limits::COMMIT_BATCH_MAX`] at most) and answers each request once, when
    /// its change is as durable as asked. Changes of one name happen in the batch's order; syncs run together.
    pub async fn execute(&mut self, batch: Vec<Request<D::File>>) {
        self.mountpath().batches.fetch_add(1, Ordering::Relaxed);
        let changes = batch.len();
        batch.iter().for_each(|request| self.tell_of_removal(request));
        let journaled = batch.iter().filter(|r| self.is_journaled(&r.change)).count();
        if journaled == batch.len() {
            self.execute_journaled(batch).await;
        } else if journaled == 0 {
            self.execute_in_rounds(batch).await;
        } else {
            for (journaled, run) in round::runs(batch, |change| self.is_journaled(change)) {
                if journaled {
                    self.execute_journaled(run).await;
                } else {
                    self.execute_in_rounds(run).await;
                }
            }
        }
        if journaled > 0 {
            self.file_after_batch(changes).await;
        }
        self.refresh_work_files().await;
    }

    /// A copy that this mountpath has lost, and somebody still has open, goes with its object though there is nothing to remove.
    fn tell_of_removal(&self, Request { change, together, .. }: &Request<D::File>) {
        let removes = matches!(change, Change::Delete { .. } | Change::Release { .. });
        if let (true, true, (bucket, Some(name))) = (removes, together.is_some(), change.key()) {
            let (generations, slot) = (&self.mountpath().generations, Slot::of(bucket, name));
            generations.begin(slot);
            generations.end(slot);
        }
    }

    async fn execute_in_rounds(&mut self, batch: Vec<Request<D::File>>) {
        let mut waiting = batch;
        while !waiting.is_empty() {
            let only_puts = waiting.iter().all(|request| matches!(request.change, Change::Put(_)));
            let (now, later) = match only_puts && self.has_bug(Bug::SameVersionTwice) {
                true => (waiting, Vec::new()),
                false => round::split(waiting),
            };
            let mut ready = Vec::with_capacity(now.len());
            for request in now {
                match self.settle(&request).await {
                    Ok(()) => ready.push(request),
                    Err(error) => (request.reply)(Err(error)),
                }
            }
            self.round(ready).await;
            waiting = later;
        }
    }

    async fn round(&mut self, requests: Vec<Request<D::File>>) {
        let this = &*self;
        let mut steps: Vec<Step<D::File>> = join_all(requests.into_iter().map(|r| this.plan(r))).await;
        self.sync_files(&mut steps).await;
        self.place_beside(&mut steps).await;
        let changing = self.make_visible(&mut steps).await;
        if self.has_bug(Bug::AnswerBeforeSync) {
            steps.iter_mut().for_each(Step::answer_early);
        }
        self.sync_names(&mut steps).await;
        self.conclude(steps, changing).await;
    }

    /// Step 2: the work files of durable changes, all at once.
    async fn sync_files(&self, steps: &mut [Step<D::File>]) {
        let skip = self.has_bug(Bug::NoFileSync);
        let skip_beside = self.has_bug(Bug::BesideNotSynced);
        let disk = &self.volume.disk;
        let syncs = steps.iter().map(|step| async move {
            if step.error.is_some() || !step.durable {
                return Ok(());
            }
            let Action::File { work, beside, .. } = &step.action else { return Ok(()) };
            if !skip {
                disk.sync(work.file()).await?;
            }
            match beside {
                Some((beside, _)) if !skip_beside => disk.sync(beside.file()).await,
                _ => Ok(()),
            }
        });
        let done = join_all(syncs).await;
        for (step, done) in steps.iter_mut().zip(done) {
            self.note(step, done);
        }
    }

    /// Step 3: names what lies beside, and makes that durable; also what must be durable before a name is escaped.
    async fn place_beside(&mut self, steps: &mut [Step<D::File>]) {
        let mut dirs = dirs::ToSync::default();
        for step in steps.iter_mut() {
            self.refuse_if_poisoned(step);
            let (None, Action::File { beside, before, .. }) = (&step.error, &mut step.action) else {
                continue;
            };
            if !self.has_bug(Bug::NoSyncBeforeEscape) {
                before.drain(..).for_each(|dir| dirs.add_if_there(dir));
            }
            let Some((file, to)) = beside.take() else { continue };
            let placed = self.rename_making_dirs(&step.name.0, file.path(), &to).await;
            if placed.is_ok() {
                file.named();
                if step.durable && !self.has_bug(Bug::BesideNotSynced) {
                    self.add_parents(&mut dirs, &to);
                }
                step.placed_beside = Some(to);
            }
            self.note(step, placed);
        }
        if let Err(error) = self.sync_dirs(dirs).await {
            for step in steps.iter_mut().filter(|s| s.changes_names() && s.error.is_none()) {
                step.error = Some(error.clone());
            }
        }
    }

    /// Step 4. What is marked as changing until [`conclude`](Self::conclude).
    async fn make_visible(&mut self, steps: &mut [Step<D::File>]) -> Changing {
        let mut changing = Changing::default();
        for step in steps.iter_mut() {
            self.refuse_if_poisoned(step);
            if step.error.is_some() || !step.changes_names() {
                continue;
            }
            if !self.has_bug(Bug::BumpAfterRename) {
                changing.begin(&self.mountpath().generations, step);
            }
            let done = self.make_one_visible(step).await;
            step.visible = done.is_ok();
            if done.is_err() {
                // It may have had its effect: the next listing walks.
                self.mountpath().index.forget(&step.name.0);
            }
            self.note(step, done);
            if let (true, (bucket, None)) = (step.visible, &step.name)
                && let Err(error) = self.forget_unfiled(bucket).await
            {
                step.error = Some(error);
            }
        }
        changing
    }

    async fn make_one_visible(&mut self, step: &mut Step<D::File>) -> Result<(), DiskError> {
        if self.has_bug(Bug::UploadRemovedFirst)
            && let Some(dir) = step.done_upload.take()
        {
            self.doom(&dir).await?;
            self.volume.disk.sync_dir(&dir.parent().unwrap_or_default()).await?;
        }
        if self.has_bug(Bug::BesideRemovedFirst)
            && let Some(stale) = step.stale_beside.take()
        {
            let _ = self.volume.disk.unlink(&stale).await;
            self.volume.disk.sync_dir(&stale.parent().unwrap_or_default()).await?;
        }
        match std::mem::replace(&mut step.action, Action::None) {
            Action::File { work, to, record, .. } => {
                self.rename_making_dirs(&step.name.0, work.path(), &to).await?;
                if self.has_bug(Bug::NameBeforeRecord) {
                    self.volume.disk.xattr_set(work.file(), crate::record::RECORD_XATTR, &record).await?;
                }
                work.named();
                step.touched = Some(to);
            }
            Action::Remove { path } => {
                self.volume.disk.unlink(&path).await?;
                step.touched = Some(path);
            }
            Action::Record { file, record } => {
                self.volume.disk.xattr_set(&file, crate::record::RECORD_XATTR, &record).await?;
                step.changed_file = Some(file);
            }
            Action::Tree { path } => match self.doom(&path).await {
                Err(e) if e.kind == DiskErrorKind::NotFound => {}
                done => {
                    done?;
                    step.touched = Some(path);
                }
            },
            Action::Cold | Action::None => {}
        }
        Ok(())
    }

    /// Step 5: the directories of all durable changes, each once, and files changed in place, all at once.
    async fn sync_names(&mut self, steps: &mut [Step<D::File>]) {
        let mut dirs = dirs::ToSync::default();
        for step in steps.iter().filter(|s| s.visible && s.durable) {
            if let Some(path) = &step.touched {
                let removal = step.removal;
                let skip = self.has_bug(if removal { Bug::NoSyncOnDelete } else { Bug::NoDirSync });
                if !skip {
                    self.add_parents(&mut dirs, path);
                }
            }
        }
        let disk = &self.volume.disk;
        let skip = self.has_bug(Bug::NoSyncOfCustom);
        let files = steps.iter().filter(|s| s.durable && !skip).filter_map(|s| s.changed_file.as_ref());
        let files = join_all(files.map(|file| disk.sync(file))).await;
        // Not `NoSpace`: that promises that nothing of the change is kept.
        let files = files.into_iter().collect::<Result<(), _>>().map_err(StoreError::Disk);
        let synced = self.sync_dirs(dirs).await.and(files);
        if let Err(error) = synced {
            // Visible, and nobody knows whether durable: no later success may cover it up.
            self.mountpath().poison(&error);
            for step in steps.iter_mut().filter(|s| s.visible) {
                step.error = Some(error.clone());
            }
        }
    }

    /// Step 6.
    async fn conclude(&mut self, mut steps: Vec<Step<D::File>>, mut changing: Changing) {
        for step in &mut steps {
            if let (true, None, Some(dir)) = (step.visible, &step.error, step.done_upload.take()) {
                // The object is in place: an upload that stays is tried again later, at the latest by the next recovery.
                if let Err(error) = self.remove_upload(&dir, step.durable).await {
                    self.note_leftover(error);
                    self.over.push(dir);
                }
            }
            self.update_index(step);
        }
        if self.has_bug(Bug::BumpAfterRename) {
            steps.iter().filter(|s| s.visible).for_each(|s| changing.begin(&self.mountpath().generations, s));
        }
        changing.end(&self.mountpath().generations);
        let mut leftovers = Vec::new();
        for mut step in steps {
            leftovers.push((
                step.visible,
                step.stale_beside.take(),
                step.placed_beside.take(),
                step.empty_below.take(),
            ));
            self.answer(step);
        }
        for (visible, stale, placed, empty) in leftovers {
            let useless = if visible { stale } else { placed };
            if let Some(path) = useless {
                self.discard(&path).await;
            }
            if let (true, Some((from, until))) = (visible, empty) {
                self.remove_empty(from, &until).await;
            }
        }
    }

    fn update_index(&self, step: &Step<D::File>) {
        if !step.visible {
            return;
        }
        let index = &self.mountpath().index;
        match (&step.name, &step.listed) {
            // What is visible is not certain: the next listing walks.
            (bucket, _) if step.error.is_some() => index.forget(&bucket.0),
            ((bucket, Some(name)), step::Listed::Set(record)) => {
                index.set(bucket, name, Some(record));
            }
            ((bucket, Some(name)), step::Listed::Gone) => index.set(bucket, name, None),
            ((bucket, None), _) => index.forget(bucket),
            _ => {}
        }
    }

    fn answer(&mut self, mut step: Step<D::File>) {
        if step.error.is_none() && step.visible {
            self.mountpath().commits.fetch_add(1, Ordering::Relaxed);
            self.count_uploads(&step.name, step.uploads_more);
        }
        if let Some(lead) = step.flight.take() {
            if let (bucket, Some(name)) = &step.name {
                self.flights.remove(&(bucket.clone(), name.clone()));
            }
            match &step.error {
                None => lead.finish(),
                Some(error) => lead.fail(error.into()),
            }
        }
        let outcome = match (step.error.take(), &step.action) {
            (Some(error), _) => Err(error),
            (None, Action::Cold) => Ok(self.cold(&mut step)),
            (None, _) => step.outcome.take().ok_or(StoreError::Abandoned("no outcome")),
        };
        if let Some(reply) = step.reply.take() {
            reply(outcome);
        }
    }

    /// Files an operation's failure: the change fails, and after an I/O error so does every later one.
    fn note(&self, step: &mut Step<D::File>, done: Result<(), DiskError>) {
        if self.has_bug(Bug::SyncErrorIgnored) && done.as_ref().is_err_and(|e| e.operation == "sync") {
            return;
        }
        if let Err(error) = done {
            let error = StoreError::from(error);
            if error.is_io() {
                self.mountpath().poison(&error);
            }
            step.error.get_or_insert(error);
        }
    }

    /// After an I/O error the mountpath takes no more changes.
    fn poison_if_io(&self, error: &StoreError) {
        if error.is_io() {
            self.mountpath().poison(error);
        }
    }

    fn refuse_if_poisoned(&self, step: &mut Step<D::File>) {
        if step.error.is_none()
            && step.changes_names()
            && let Err(error) = self.mountpath().refuse_poisoned()
        {
            step.error = Some(error);
        }
    }

    /// The mountpath that it owns.
    pub fn mountpath(&self) -> &Arc<Mountpath<D::File>> {
        &self.volume.mountpath
    }
}

/// The generations that are odd while a round's changes become visible.
#[derive(Default)]
struct Changing {
    slots: HashSet<Slot>,
    all: bool,
}

impl Changing {
    fn begin<F>(&mut self, generations: &Generations, step: &Step<F>) {
        if step.changes_all() && !std::mem::replace(&mut self.all, true) {
            generations.begin_all();
        }
        if let Some(slot) = step.slot()
            && self.slots.insert(slot)
        {
            generations.begin(slot);
        }
    }

    fn end(self, generations: &Generations) {
        for slot in self.slots {
            generations.end(slot);
        }
        if self.all {
            generations.end_all();
        }
    }
}
