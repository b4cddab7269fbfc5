/// What work over many objects tells while it goes on, and asks.
pub trait Watch: Send + Sync {
    /// Objects, and their bytes, are done.
    fn moved(&self, objects: u64, bytes: u64);
    /// Something could not be done, and stays as it is.
    fn failed(&self, what: String);
    /// How many names could not be done yet, and why the first of them; what was said of that before is over.
    fn left(&self, names: u64, why: &str);
    /// Whether to stop.
    fn is_over(&self) -> bool;
}
