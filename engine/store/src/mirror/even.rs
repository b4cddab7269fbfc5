//! Making the copies of an object even.

use super::seen::{Here, Seen, damage};
use super::{Copies, CopyHolder, Evened};
use crate::moves::remove_object;
use crate::{Access, Attrs, Change, Disk, Durability, Object, Record, StoreError};

/// Rounds in which copies may change while they are made even.
const TRIES: u32 = 8;

impl<H> Copies<'_, H> {
    /// Makes the copies even: the greatest commit is on every holder that is to have it, and on no other. `Ok` says that it
    /// is so; nothing is done where there is no object.
    pub async fn even<D: Disk>(&self) -> Result<Evened, H::Error>
    where
        H: CopyHolder<D>,
    {
        self.even_by(|| self.look()).await
    }

    /// The same, with every block of every copy read and checked first.
    pub async fn scrub<D: Disk>(&self) -> Result<Evened, H::Error>
    where
        H: CopyHolder<D>,
    {
        self.even_by(async || {
            let mut seen = self.look().await?;
            for (at, here) in seen.0.iter_mut().enumerate().filter(|(_, here)| here.record().is_some()) {
                if let Some(Err(error)) = match self.open(at).await {
                    Ok(object) => Some(object.verify().await),
                    Err(error) => (!error.is_not_found()).then_some(Err(error)),
                } {
                    *here = damage(error)?;
                }
            }
            Ok(seen)
        })
        .await
    }

    /// Makes the copies even by what `look` sees; once more where a copy has come in between: one that was given up on when
    /// its committer had it already.
    async fn even_by<D: Disk>(
        &self,
        look: impl AsyncFn() -> Result<Seen, H::Error>,
    ) -> Result<Evened, H::Error>
    where
        H: CopyHolder<D>,
    {
        for _ in 0..TRIES {
            match self.even_out(&look().await?).await {
                Err(error) if matches!(H::refusal(&error), Some(StoreError::Precondition { .. })) => {}
                done => return done,
            }
        }
        Err(StoreError::Abandoned("copies that change faster than they can be made even").into())
    }

    async fn even_out<D: Disk>(&self, seen: &Seen) -> Result<Evened, H::Error>
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
                self.carry(source, at, &record, damaged).await?;
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

    /// Copies the object from one holder to another.
    async fn carry<D: Disk>(
        &self,
        from: usize,
        to: usize,
        record: &Record,
        damaged: bool,
    ) -> Result<(), H::Error>
    where
        H: CopyHolder<D>,
    {
        let object = self.open(from).await?;
        if object.record().commit != record.commit {
            return Err(StoreError::Abandoned("a copy that was changed by somebody else").into());
        }
        let to = self.holder_at(to)?;
        let change = Change::Adopt {
            damaged,
            bucket: self.bucket.clone(),
            name: self.name.clone(),
            prepared: to.volume().carry(&object).await?,
            record: Box::new(record.clone()),
        };
        to.change(change).await.map(drop)
    }

    async fn open<D: Disk>(&self, at: usize) -> Result<Object<D>, StoreError>
    where
        H: CopyHolder<D>,
    {
        let holder = self.holder_at(at)?;
        holder.volume().open_as(self.bucket, self.name, Access::Direct).await
    }
}
