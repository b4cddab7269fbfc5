use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_types::Bucket;

use crate::Selection;

/// Objects that are copied into another bucket, and how (AIS: `TCBMsg`, `TCOMsg`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CopyOrder {
    /// What it was ordered as.
    pub as_what: CopyKind,
    /// The source.
    pub from: Bucket,
    /// Its ID; told when the job begins.
    pub from_bid: u64,
    /// The destination.
    pub to: Bucket,
    /// Its ID; told when the job begins. A dry run needs no destination: 0.
    pub to_bid: u64,
    /// Which objects.
    pub selection: Selection,
    /// What a copy's name begins with.
    pub prepend: String,
    /// The last part of a name, after its last dot, and what stands in its place in the copy's.
    pub extensions: BTreeMap<String, String>,
    /// Of a prefix only what has no further slash behind it.
    pub flat: bool,
    /// Nothing is copied; it is counted.
    pub dry_run: bool,
    /// Of a remote bucket also what only its origin has.
    pub outside: bool,
    /// Objects under way together at each target; 0: as many as may be.
    pub workers: u16,
}

/// What copying was ordered as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CopyKind {
    /// A bucket, or what is under a prefix of it.
    Bucket,
    /// Some objects.
    Objects,
    /// A bucket that goes once everything is copied.
    Rename,
}

impl CopyOrder {
    /// Its kind, as AIS names it.
    pub fn kind(&self) -> &'static str {
        match self.as_what {
            CopyKind::Bucket => "copy-bck",
            CopyKind::Objects => "copy-listrange",
            CopyKind::Rename => "move-bck",
        }
    }

    /// Whether its source goes in the end.
    pub fn is_rename(&self) -> bool {
        self.as_what == CopyKind::Rename
    }

    /// The name of an object's copy: another extension first, then what is prepended.
    pub fn name_of(&self, name: &str) -> String {
        let other = name.rsplit_once('.').and_then(|(stem, extension)| {
            let other = self.extensions.get(extension)?;
            Some(format!("{stem}.{}", other.trim_start_matches('.')))
        });
        format!("{}{}", self.prepend, other.as_deref().unwrap_or(name))
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    #[test]
    fn names_of_copies() {
        let bucket = |name| Bucket::global(Provider::Ais, BucketName::new(name).unwrap());
        let order = |prepend: &str, extensions: &[(&str, &str)]| CopyOrder {
            as_what: CopyKind::Bucket,
            from: bucket("a"),
            from_bid: 1,
            to: bucket("b"),
            to_bid: 2,
            selection: Selection::Prefix(String::new()),
            prepend: prepend.into(),
            extensions: extensions.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect(),
            flat: false,
            dry_run: false,
            outside: false,
            workers: 0,
        };
        for (prepend, extensions, name, expected) in [
            ("", &[][..], "a/b.jpg", "a/b.jpg"),
            ("new-", &[], "a/b.jpg", "new-a/b.jpg"),
            ("x/", &[("jpg", "png")], "a/b.jpg", "x/a/b.png"),
            ("", &[("jpg", "..png")], "b.jpg", "b.png"),
            ("", &[("jpg", "png")], "b.jpg.txt", "b.jpg.txt"),
            ("", &[("jpg", "png")], "jpg", "jpg"),
        ] {
            assert_eq!(order(prepend, extensions).name_of(name), expected, "{name}");
        }
    }
}
