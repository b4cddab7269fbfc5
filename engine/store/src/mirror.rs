//! Copies of one object on several mountpaths of a node, which change together.
//!
//! The first holder decides: what readers see is what it has. So a change goes to the others first, and to the first one
//! when all of them have it durably:
//!
//! | step of a PUT, or of a change of metadata | durable afterwards | dying here leaves |
//! |---|---|---|
//! | 1. conditions checked against the present object; one commit ID for all copies | - | the old state |
//! | 2. the other copies written and named, side by side | some copies are of the new commit | the old state is read; if the first holder is lost, either |
//! | 3. the first holder's copy written and named: **visible** | all copies are of the new commit | the new state |
//! | 4. answer | | |
//!
//! A removal goes the same way: the first holder loses the object last, so that an object which it lacks, and another holder
//! has, is one that the first holder lost. What a crash leaves uneven is made even by commit ID: the greatest is kept.
//!
//! A PUT may be answered with its first copy alone (`put_first`), where the owner of the holders wants that: then the others are
//! such a leftover until they are made.
//!
//! The owner of the holders sees to it that changes of one name, and what makes its copies even, wait for each other.

mod even;
mod seen;

pub use even::Ahead;

use futures_util::future::join_all;
use weir_types::{Bucket, ObjectName};

use crate::moves::remove_object;
use crate::{
    Attrs, Change, CommitId, CustomChange, Disk, Durability, Etag, Holder, Outcome, Prepared, Put, Record,
    StoreError, Terms, Together, VersionRule,
};
use seen::{Here, Seen, damage};

/// A mountpath that may have a copy.
pub trait CopyHolder<D: Disk>: Holder<D> {
    /// Has its committer carry out its part of a change of all copies.
    async fn change_together(
        &self,
        change: Change<D::File>,
        together: Together,
        now_ns: u64,
    ) -> Result<Outcome<D::File>, Self::Error>;

    /// Whether the error says that nothing was changed.
    fn is_refusal(error: &Self::Error) -> bool;
}

/// The copies of one object.
pub struct Copies<'c, H> {
    /// Its bucket.
    pub bucket: &'c Bucket,
    /// Its name.
    pub name: &'c ObjectName,
    /// Every mountpath that may have it; those that are to have it come first, in their order.
    pub holders: &'c [H],
    /// How many of them are to have it; at least 1.
    pub wanted: usize,
    /// Whether any of the others may have it; otherwise none but those that its record counts.
    pub anywhere: bool,
    /// Version of the set of mountpaths.
    pub set: u64,
}

/// What was done to make copies even.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Evened {
    /// Copies written.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Copies removed.
    pub removed: u64,
    /// Copies that were not what they should be.
    pub damaged: u64,
}

/// How a step at the other holders ended.
enum Led {
    All,
    /// The set of mountpaths is another one by now.
    Misplaced,
}

impl<H> Copies<'_, H> {
    /// Which holder's copy counts, if there is one: that of the greatest commit. Copies of which none can be read are an error:
    /// the object is there.
    pub async fn holder<D: Disk>(&self) -> Result<Option<usize>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let seen = self.look().await?;
        match seen.best() {
            Some((at, _)) => Ok(Some(at)),
            None => seen.damaged().map_or(Ok(None), |error| Err(error.into())),
        }
    }

    /// Stores an object, all copies of it.
    pub async fn put<D: Disk>(&self, put: Put<D::File>, now_ns: u64) -> Result<Outcome<D::File>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let seen = self.look().await?;
        let (together, same) = self.plan(&put, &seen, now_ns)?;
        let Put { bucket, name, prepared, terms, attrs, flight, upload } = put;
        let named = |prepared, attrs, upload| {
            let (bucket, name, terms) = (bucket.clone(), name.clone(), Terms::default());
            Put { bucket, name, prepared, terms, attrs, flight: None, upload }
        };
        let mut changes = self.removals(&seen, self.wanted);
        for (at, copy) in self.copies_of(&prepared).await? {
            changes.push((at, Change::Put(Box::new(named(copy, same.clone(), None)))));
        }
        if let Led::Misplaced = self.lead(changes, &seen, together, now_ns).await? {
            let put = Put { bucket, name, prepared, terms, attrs, flight, upload };
            return Ok(Outcome::Misplaced(Box::new(Change::Put(Box::new(put)))));
        }
        let first = Put { flight, ..named(prepared, same, upload) };
        let done = self.follow(Change::Put(Box::new(first)), &seen, together, now_ns).await?;
        Ok(as_asked(done, terms, attrs))
    }

    /// Stores an object at the first holder, which makes it visible; the other copies are still to be made
    /// ([`even`](Self::even)). Until they are, the loss of the first holder loses the change: what there is then is the object as it
    /// was before, or none.
    pub async fn put_first<D: Disk>(
        &self,
        put: Put<D::File>,
        now_ns: u64,
    ) -> Result<Outcome<D::File>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let seen = self.look().await?;
        let (together, same) = self.plan(&put, &seen, now_ns)?;
        let Put { terms, attrs, .. } = &put;
        let (terms, attrs) = (terms.clone(), attrs.clone());
        let first = Change::Put(Box::new(Put { terms: Terms::default(), attrs: same, ..put }));
        let done = self.holder_at(0)?.change_together(first, together, now_ns).await?;
        Ok(as_asked(done, terms, attrs))
    }

    /// What all copies of a new object have in common, if it may be stored.
    fn plan<D: Disk>(
        &self,
        put: &Put<D::File>,
        seen: &Seen,
        now_ns: u64,
    ) -> Result<(Together, Attrs), StoreError>
    where
        H: CopyHolder<D>,
    {
        let present = seen.best().map(|(_, record)| record.as_ref());
        put.terms.check(self.bucket, self.name, present)?;
        put.attrs.refuse_outdated(self.name, present)?;
        let together = self.together(&put.attrs, present, now_ns);
        let version = VersionRule::Set(put.attrs.version.after(present));
        let etag = put.attrs.etag.clone().unwrap_or(Etag::Commit(together.commit.sequence));
        Ok((together, Attrs { version, etag: Some(etag), ..put.attrs.clone() }))
    }

    /// Changes the custom metadata of all copies.
    pub async fn set_custom<D: Disk>(
        &self,
        change: CustomChange,
        terms: Terms,
        durability: Durability,
        now_ns: u64,
    ) -> Result<Outcome<D::File>, H::Error>
    where
        H: CopyHolder<D>,
    {
        self.even().await?;
        let seen = self.look().await?;
        let present = seen.best().map(|(_, record)| record.clone()).ok_or_else(|| self.absent())?;
        terms.check(self.bucket, self.name, Some(&present))?;
        let together = self.together(&Attrs::default(), Some(&present), now_ns);
        let of_copy = |terms| Change::SetCustom {
            bucket: self.bucket.clone(),
            name: self.name.clone(),
            change: change.clone(),
            terms,
            durability,
        };
        let same = Terms { if_commit: Some(present.commit), ..Terms::default() };
        let changes = self.others().map(|at| (at, of_copy(same.clone()))).collect();
        if let Led::Misplaced = self.lead(changes, &seen, together, now_ns).await? {
            return Ok(Outcome::Misplaced(Box::new(of_copy(terms))));
        }
        match self.follow(of_copy(same), &seen, together, now_ns).await? {
            Outcome::Misplaced(_) => Ok(Outcome::Misplaced(Box::new(of_copy(terms)))),
            done => Ok(done),
        }
    }

    /// Removes all copies.
    pub async fn delete<D: Disk>(
        &self,
        terms: Terms,
        durability: Durability,
        now_ns: u64,
    ) -> Result<Outcome<D::File>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let part = |_: Option<CommitId>, durability| self.removal(durability);
        let done = self.remove(&terms, durability, now_ns, part).await?;
        let (bucket, name) = (self.bucket.clone(), self.name.clone());
        let back = || Outcome::Misplaced(Box::new(Change::Delete { bucket, name, terms, durability }));
        Ok(done.unwrap_or_else(back))
    }

    /// Removes all copies of an object of this commit, which another node has by now: no client's removal.
    pub async fn release<D: Disk>(
        &self,
        commit: CommitId,
        map_version: u64,
        now_ns: u64,
    ) -> Result<Outcome<D::File>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let release = |commit| {
            let (bucket, name) = (self.bucket.clone(), self.name.clone());
            Change::Release { bucket, name, commit, map_version }
        };
        let terms = Terms { if_commit: Some(commit), ..Terms::default() };
        // An older copy goes as well.
        let part = |seen: Option<CommitId>, _| release(seen.unwrap_or(commit));
        let done = self.remove(&terms, Durability::Durable, now_ns, part).await?;
        Ok(done.unwrap_or_else(|| Outcome::Misplaced(Box::new(release(commit)))))
    }

    /// Removes all copies, each by the change that `part` makes for the commit that it has; none if the set of mountpaths is
    /// another one by now.
    async fn remove<D: Disk>(
        &self,
        terms: &Terms,
        durability: Durability,
        now_ns: u64,
        part: impl Fn(Option<CommitId>, Durability) -> Change<D::File>,
    ) -> Result<Option<Outcome<D::File>>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let seen = self.look().await?;
        let present = seen.best().map(|(_, record)| record.clone());
        // Their committers hear of it even then: a journal may still have what files have lost.
        let absent = seen.0.iter().all(Here::is_absent);
        if !absent {
            terms.check(self.bucket, self.name, present.as_deref())?;
        }
        let together = self.together(&Attrs::default(), present.as_deref(), now_ns);
        let of = |at: usize| seen.of(at).map(|record| record.commit);
        // Where none was seen as well: one may be on its way that was given up on when its committer had it already.
        let changes = (1..self.holders.len()).map(|at| (at, part(of(at), Durability::Durable))).collect();
        if let Led::Misplaced = self.lead(changes, &seen, together, now_ns).await? {
            return Ok(None);
        }
        let last = part(of(0), durability);
        if seen.is_absent(0) {
            // It has lost its own. Who has that open must hear of the removal.
            return match self.holder_at(0)?.change_together(last, together, now_ns).await {
                Err(error) if !H::refusal(&error).is_some_and(StoreError::is_not_found) => Err(error),
                Ok(Outcome::Misplaced(_) | Outcome::HasCopies(_)) => Ok(None),
                _ if absent => Err(self.absent().into()),
                _ => Ok(Some(Outcome::Deleted(present))),
            };
        }
        match self.follow(last, &seen, together, now_ns).await? {
            Outcome::Misplaced(_) => Ok(None),
            done => Ok(Some(done)),
        }
    }

    /// What every holder has that may have the object.
    async fn look<D: Disk>(&self) -> Result<Seen, H::Error>
    where
        H: CopyHolder<D>,
    {
        let mut seen = Seen(Vec::with_capacity(self.holders.len()));
        let mut asked = if self.anywhere { self.holders.len() } else { self.wanted };
        while let Some(some) = self.holders.get(seen.0.len()..asked.min(self.holders.len()))
            && !some.is_empty()
        {
            let heads = some.iter().map(|holder| holder.volume().head(self.bucket, self.name));
            for head in join_all(heads).await {
                seen.0.push(match head {
                    Ok(record) => Here::Has(record),
                    Err(error) => damage(error)?,
                });
            }
            asked = seen.0.iter().filter_map(Here::record).map(|r| usize::from(r.copies)).max().unwrap_or(0);
        }
        Ok(seen)
    }

    /// What is prepared for the first holder, prepared for each of the others that are to have a copy.
    async fn copies_of<D: Disk>(
        &self,
        prepared: &Prepared<D::File>,
    ) -> Result<Vec<(usize, Prepared<D::File>)>, StoreError>
    where
        H: CopyHolder<D>,
    {
        let first = self.holder_at(0)?.volume().disk();
        let copies = self
            .others()
            .map(|at| async move { Ok((at, self.holder_at(at)?.volume().copy_of(first, prepared).await?)) });
        join_all(copies).await.into_iter().collect()
    }

    /// Has the other holders do their parts, all at once. If not all of them do, those that did have it undone.
    async fn lead<D: Disk>(
        &self,
        changes: Vec<(usize, Change<D::File>)>,
        seen: &Seen,
        together: Together,
        now_ns: u64,
    ) -> Result<Led, H::Error>
    where
        H: CopyHolder<D>,
    {
        let parts = changes.into_iter().map(|(at, change)| async move {
            let holder = self.holder_at(at)?;
            Ok::<_, H::Error>((at, holder.change_together(change, together, now_ns).await))
        });
        let mut done = Vec::new();
        let (mut misplaced, mut refused) = (false, None);
        for part in join_all(parts).await {
            match part? {
                (_, Ok(Outcome::Misplaced(_) | Outcome::HasCopies(_))) => misplaced = true,
                (at, Ok(_)) => done.push(at),
                (_, Err(error)) if H::refusal(&error).is_some_and(StoreError::is_not_found) => {}
                (_, Err(error)) => refused = Some(error),
            }
        }
        if !misplaced && refused.is_none() {
            return Ok(Led::All);
        }
        let undone = self.undo(&done, seen, together.commit).await;
        match refused {
            // Its outcome is open in any case.
            Some(error) if !H::is_refusal(&error) => Err(error),
            Some(error) => undone.and(Err(error)),
            None => undone.map(|()| Led::Misplaced),
        }
    }

    /// Has the first holder do its part, which makes the change visible. If it certainly does not, the others have it undone.
    async fn follow<D: Disk>(
        &self,
        change: Change<D::File>,
        seen: &Seen,
        together: Together,
        now_ns: u64,
    ) -> Result<Outcome<D::File>, H::Error>
    where
        H: CopyHolder<D>,
    {
        let done = self.holder_at(0)?.change_together(change, together, now_ns).await;
        let stays = match &done {
            Ok(Outcome::Misplaced(_) | Outcome::HasCopies(_)) => true,
            Ok(_) => false,
            Err(error) => H::is_refusal(error),
        };
        if stays {
            let others: Vec<usize> = (1..seen.0.len()).collect();
            self.undo(&others, seen, together.commit).await?;
        }
        Ok(match done? {
            Outcome::HasCopies(back) => Outcome::Misplaced(back),
            done => done,
        })
    }

    /// Takes back what some holders did, as far as the first one has what was before.
    async fn undo<D: Disk>(&self, done: &[usize], seen: &Seen, commit: CommitId) -> Result<(), H::Error>
    where
        H: CopyHolder<D>,
    {
        if seen.best().is_some() && seen.of(0).is_none() {
            // What was before may be nowhere else: the new state stays, and is completed when it is read.
            return Ok(());
        }
        for at in done {
            remove_object(self.holder_at(*at)?, self.bucket, self.name, commit).await?;
        }
        self.even().await.map(drop)
    }

    /// The removals of what holders from this number on have.
    fn removals<F>(&self, seen: &Seen, from: usize) -> Vec<(usize, Change<F>)> {
        let there = seen.0.iter().enumerate().skip(from).filter(|(_, here)| !here.is_absent());
        there.map(|(at, _)| (at, self.removal(Durability::Durable))).collect()
    }

    fn removal<F>(&self, durability: Durability) -> Change<F> {
        let (bucket, name) = (self.bucket.clone(), self.name.clone());
        Change::Delete { bucket, name, terms: Terms::default(), durability }
    }

    fn together<D: Disk>(&self, attrs: &Attrs, present: Option<&Record>, now_ns: u64) -> Together
    where
        H: CopyHolder<D>,
    {
        let next = || self.holders.first().map(|h| h.volume().mountpath().next_commit()).unwrap_or_default();
        let moved = attrs.moved.map(|moved| moved.created_ns);
        let modified_ns = attrs.modified_ns.unwrap_or(now_ns);
        Together {
            set: self.set,
            commit: attrs.moved.map_or_else(next, |moved| moved.commit),
            created_ns: moved.or(present.map(|p| p.created_ns)).unwrap_or(modified_ns),
            copies: self.count(),
        }
    }

    /// How many copies there are to be.
    fn count(&self) -> u8 {
        u8::try_from(self.wanted).unwrap_or(u8::MAX)
    }

    /// Those that are to have a copy, beside the first.
    fn others(&self) -> std::ops::Range<usize> {
        1..self.wanted.min(self.holders.len()).max(1)
    }

    fn holder_at(&self, at: usize) -> Result<&H, StoreError> {
        self.holders.get(at).ok_or(StoreError::Abandoned("no mountpath is in service"))
    }

    fn absent(&self) -> StoreError {
        StoreError::NotFound { bucket: self.bucket.clone(), name: self.name.clone() }
    }
}

/// A PUT that comes back from the first holder, with the terms and metadata that it was asked with.
fn as_asked<F>(done: Outcome<F>, terms: Terms, attrs: Attrs) -> Outcome<F> {
    match done {
        Outcome::Misplaced(back) | Outcome::HasCopies(back) => Outcome::Misplaced(match *back {
            Change::Put(put) => Box::new(Change::Put(Box::new(Put { terms, attrs, ..*put }))),
            other => Box::new(other),
        }),
        done => done,
    }
}
