//! faultdisk.
fn main() {}
