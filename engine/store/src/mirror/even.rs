//! Making the copies of an object even.

use super::seen::{Here, Seen, damage};
use super::{Copies, CopyHolder, Evened};
use crate::moves::remove_object;
use crate::{Access, Attrs, Change, CommitId, Disk, Durability, Object, Prepared, Record, StoreError};

/// Rounds in which copies may change while they are made even.
const TRIES: u32 = 8;

/// What making copies even takes of an object's bytes, done before anything is changed ([`Copies::carry_ahead`]).
pub struct Ahead<F> {
    /// Which commit it is of.
    commit: CommitId,
    /// Holders whose copy of that commit is damaged.
    damaged: Vec<(usize, StoreError)>,
    /// Copies of it for these holders.
    carried: Vec<(usize, Prepared<F>)>,
}

impl<F> Default for Ahead<F> {
    fn default() -> Self {
        Self { commit: CommitId::default(), damaged: Vec::new(), carried: Vec::new() }
    }
}

impl<F> std::fmt::Debug for Ahead<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let to: Vec<usize> = self.carried.iter().map(|(at, _)| *at).collect();
        write!(f, "Ahead({}, damaged at {:?}, carried to {to:?})", self.commit, self.damaged)
    }
}

impl<F> Ahead<F> {
    /// What was carried to this holder of this commit.
    fn take(&mut self, at: usize, commit: CommitId) -> Option<Prepared<F>> {
        self.damaged.retain(|(damaged, _)| *damaged != at);
        let place = self.carried.iter().position(|(to, _)| *to == at && self.commit == commit)?;
        Some(self.carried.swap_remove(place).1)
    }
}

impl<H> Copies<'_, H> {
    /// Makes the copies even: the greatest commit is on every holder that is to have it, and on no other. `Ok` says that it
    /// is so; nothing is done where there is no object.
    pub async fn even<D: Disk>(&self) -> Result<Evened, H::Error>
    where
        H: CopyHolder<D>,
    {
        self.even_with(Ahead::default()).await
    }

    /// Reads what the copies need to become even, every block of every copy if `thorough`, and writes what is missing, under no
    /// name yet. It takes as long as the bytes take, and nobody has to wait for it: if the object changes meanwhile, it was in vain.
    pub async fn carry_ahead<D: Disk>(&self, thorough: bool) -> Result<Ahead<D::File>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let mut seen = self.look().await?;
        if thorough {
            self.read_all(&mut seen).await?;
        }
        let mut ahead = Ahead::default();
        let Some((source, best)) = seen.best() else {
            return seen.damaged().map_or(Ok(ahead), |error| Err(error.into()));
        };
        ahead.commit = best.commit;
        let damaged = seen.0.iter().enumerate().filter_map(|(at, here)| match here {
            Here::Damaged(error) => Some((at, error.clone())),
            Here::Absent | Here::Has(_) => None,
        });
        ahead.damaged = damaged.collect();
        for at in self.others().chain([0]) {
            if seen.of(at).is_some_and(|record| record.commit == best.commit) {
                continue;
            }
            // Whoever makes the copies even meets an error again, if it is still so.
            if let Ok(prepared) = self.bytes_of(source, at, best).await {
                ahead.carried.push((at, prepared));
            }
        }
        Ok(ahead)
    }

    /// Makes the copies even, with what was carried ahead. Once more where a copy has come in between: one that was given up on
    /// when its committer had it already.
    pub async fn even_with<D: Disk>(&self, mut ahead: Ahead<D::File>) -> Result<Evened, H::Error>
    where
        H: CopyHolder<D>,
    {
        for _ in 0..TRIES {
            let mut seen = self.look().await?;
            for (at, error) in &ahead.damaged {
                if let Some(here) = seen.0.get_mut(*at)
                    && here.record().is_some_and(|record| record.commit == ahead.commit)
                {
                    *here = Here::Damaged(error.clone());
                }
            }
            match self.even_out(&seen, &mut ahead).await {
                Err(error) if matches!(H::refusal(&error), Some(StoreError::Precondition { .. })) => {}
                done => return done,
            }
        }
        Err(StoreError::Abandoned("copies that change faster than they can be made even").into())
    }

    /// Reads every block of every copy.
    async fn read_all<D: Disk>(&self, seen: &mut Seen) -> Result<(), H::Error>
    where
        H: CopyHolder<D>,
    {
        for (at, here) in seen.0.iter_mut().enumerate() {
            let Some(commit) = here.record().map(|record| record.commit) else { continue };
            let read = match self.open(at).await {
                // It was changed meanwhile.
                Ok(object) if object.record().commit != commit => continue,
                Ok(object) => object.verify().await,
                Err(error) if error.is_not_found() => continue,
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                *here = damage(error)?;
            }
        }
        Ok(())
    }

    async fn even_out<D: Disk>(&self, seen: &Seen, ahead: &mut Ahead<D::File>) -> Result<Evened, H::Error>
    where
        H: CopyHolder<D>,
    {
        let mut done = Evened::default();
        let Some((source, best)) = seen.best() else {
            return seen.damaged().map_or(Ok(done), |error| Err(error.into()));
        };
        let record = Record { copies: self.count(), ..best.as_ref().clone() };
        done.damaged = seen.0.iter().filter(|here| matches!(here, Here::Damaged(_))).count() as u64;
        let is_even = |at: usize| seen.of(at).is_some_and(|r| r.commit == best.commit);
        let counts = |at: usize| seen.of(at).is_some_and(|r| r.copies == record.copies);
        // The first one last, as in every change.
        for at in self.others().chain([0]) {
            if !is_even(at) {
                let damaged = matches!(seen.0.get(at), Some(Here::Damaged(_)));
                let prepared = match ahead.take(at, best.commit) {
                    Some(prepared) => prepared,
                    None => self.bytes_of(source, at, best).await?,
                };
                self.adopt(at, prepared, &record, damaged).await?;
                done.copied += 1;
                done.bytes += record.size;
            } else if !counts(at) && at > 0 {
                self.count_copies(at, &record).await?;
            }
        }
        for at in (self.wanted..seen.0.len()).filter(|at| !seen.is_absent(*at)) {
            let holder = self.holder_at(at)?;
            match seen.of(at) {
                Some(record) => drop(remove_object(holder, self.bucket, self.name, record.commit).await?),
                None => self.remove_damaged(holder).await?,
            }
            done.removed += 1;
        }
        if is_even(0) && !counts(0) {
            self.count_copies(0, &record).await?;
        }
        Ok(done)
    }

    async fn remove_damaged<D: Disk>(&self, holder: &H) -> Result<(), H::Error>
    where
        H: CopyHolder<D>,
    {
        let together = self.together(&Attrs::default(), None, 0);
        match holder.change_together(self.removal(Durability::Durable), together, 0).await {
            Err(error) if !H::refusal(&error).is_some_and(StoreError::is_not_found) => Err(error),
            _ => Ok(()),
        }
    }

    async fn count_copies<D: Disk>(&self, at: usize, record: &Record) -> Result<(), H::Error>
    where
        H: CopyHolder<D>,
    {
        let change = Change::SetCopies {
            bucket: self.bucket.clone(),
            name: self.name.clone(),
            commit: record.commit,
            copies: record.copies,
        };
        self.holder_at(at)?.change(change).await.map(drop)
    }

    /// The bytes of one holder's copy, on another one's disk.
    async fn bytes_of<D: Disk>(
        &self,
        from: usize,
        to: usize,
        record: &Record,
    ) -> Result<Prepared<D::File>, StoreError>
    where
        H: CopyHolder<D>,
    {
        let object = self.open(from).await?;
        if object.record().commit != record.commit {
            return Err(StoreError::Abandoned("a copy that was changed by somebody else"));
        }
        self.holder_at(to)?.volume().carry(&object).await
    }

    /// Has a holder take a copy.
    async fn adopt<D: Disk>(
        &self,
        at: usize,
        prepared: Prepared<D::File>,
        record: &Record,
        damaged: bool,
    ) -> Result<(), H::Error>
    where
        H: CopyHolder<D>,
    {
        let change = Change::Adopt {
            damaged,
            bucket: self.bucket.clone(),
            name: self.name.clone(),
            prepared,
            record: Box::new(record.clone()),
        };
        self.holder_at(at)?.change(change).await.map(drop)
    }

    async fn open<D: Disk>(&self, at: usize) -> Result<Object<D>, StoreError>
    where
        H: CopyHolder<D>,
    {
        let holder = self.holder_at(at)?;
        holder.volume().open_as(self.bucket, self.name, Access::Direct).await
    }
}
