use std::sync::Arc;

use weir_types::{Access, Bucket};

use crate::{BodyRule, Denied};

/// Who is asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// Somebody on this host, while no credential is configured.
    Anonymous,
    /// The holder of this access key.
    AccessKey(Arc<str>),
    /// The subject of a token.
    Subject(Arc<str>),
}

/// What a principal may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rights {
    /// On the cluster, and on every bucket that has no entry of its own.
    pub(crate) cluster: Access,
    /// On single buckets; an entry replaces the cluster's rights for that bucket.
    pub(crate) buckets: Arc<[(Bucket, Access)]>,
}

impl Rights {
    pub(crate) fn all() -> Self {
        Self { cluster: Access::ALL, buckets: Arc::default() }
    }
}

/// Proof that a request came through the gate, or that the cluster agreed on what is done. [`crate::Gate::admit`] makes one
/// for a request; [`Grant::of_job`] makes one for a job.
#[derive(Clone, Debug)]
pub struct Grant {
    principal: Principal,
    rights: Rights,
    body: BodyRule,
}

/// Proof that an admitted caller may do one thing. Only a [`Grant`] makes one. A clone is for work that goes on for the
/// same caller elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "an operation takes the permit it needs"]
pub struct Permit {
    access: Access,
}

impl Permit {
    /// What was permitted.
    pub fn access(&self) -> Access {
        self.access
    }
}

impl Grant {
    pub(crate) fn new(principal: Principal, rights: Rights, body: BodyRule) -> Self {
        Self { principal, rights, body }
    }

    /// For a job that the cluster agreed on, whose order was let in at a gate: what it needs on these buckets, and nothing
    /// else anywhere.
    pub fn of_job(job: &str, buckets: impl IntoIterator<Item = (Bucket, Access)>) -> Self {
        let rights = Rights { cluster: Access(0), buckets: buckets.into_iter().collect() };
        Self::new(Principal::Subject(job.into()), rights, BodyRule::Plain)
    }

    pub(crate) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Who is asking.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How the request's body must be read.
    pub fn body_rule(&self) -> &BodyRule {
        &self.body
    }

    /// Permits an operation on a bucket or on its objects, where the caller has every bit of `needed`.
    /// The bucket's own access mask is the caller's to ask as well.
    pub fn require(&self, needed: Access, bucket: &Bucket) -> Result<Permit, Denied> {
        permit(self.access_to(bucket), needed)
    }

    /// Permits an operation on the cluster as a whole: list, create and destroy buckets, show or administer the cluster.
    pub fn require_cluster(&self, needed: Access) -> Result<Permit, Denied> {
        permit(self.rights.cluster, needed)
    }

    /// What the caller may do with a bucket.
    pub fn access_to(&self, bucket: &Bucket) -> Access {
        if self.rights.cluster.allows(Access::ADMIN) {
            return Access::ALL;
        }
        let own = self.rights.buckets.iter().find(|(b, _)| b == bucket);
        own.map_or(self.rights.cluster, |(_, access)| *access)
    }
}

fn permit(has: Access, needed: Access) -> Result<Permit, Denied> {
    if has.allows(needed) { Ok(Permit { access: needed }) } else { Err(Denied::Forbidden(needed)) }
}
