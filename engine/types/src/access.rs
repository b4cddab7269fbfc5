/// What an operation needs and what a bucket or a credential allows: AIS's access bits
/// (`api/apc/access.go`), one or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Access(pub u64);

#[allow(missing_docs, reason = "each constant is named after AIS's bit")]
impl Access {
    pub const GET: Self = Self(1);
    pub const HEAD_OBJECT: Self = Self(1 << 1);
    pub const PUT: Self = Self(1 << 2);
    pub const APPEND: Self = Self(1 << 3);
    pub const DELETE_OBJECT: Self = Self(1 << 4);
    pub const MOVE_OBJECT: Self = Self(1 << 5);
    pub const PROMOTE: Self = Self(1 << 6);
    pub const UPDATE_OBJECT: Self = Self(1 << 7);
    pub const HEAD_BUCKET: Self = Self(1 << 8);
    pub const LIST_OBJECTS: Self = Self(1 << 9);
    pub const PATCH: Self = Self(1 << 10);
    pub const SET_BUCKET_ACL: Self = Self(1 << 11);
    pub const LIST_BUCKETS: Self = Self(1 << 12);
    pub const SHOW_CLUSTER: Self = Self(1 << 13);
    pub const CREATE_BUCKET: Self = Self(1 << 14);
    pub const DESTROY_BUCKET: Self = Self(1 << 15);
    pub const MOVE_BUCKET: Self = Self(1 << 16);
    pub const ADMIN: Self = Self(1 << 17);
    pub const READ_ONLY: Self = Self(1 | 1 << 1 | 1 << 8 | 1 << 9 | 1 << 12 | 1 << 13);
    pub const ALL: Self = Self(u64::MAX);

    /// Whether every bit of `needed` is granted.
    pub fn allows(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }
}

impl std::ops::BitOr for Access {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
