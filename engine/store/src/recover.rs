/// What [`crate::Committer::recover`] found and removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// Work files and directories removed.
    pub work_files: usize,
    /// Uploads removed because their object is complete, or because they never began.
    pub uploads_removed: usize,
    /// Uploads in progress.
    pub uploads: usize,
}
