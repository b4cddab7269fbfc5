//! Power loss on the real store, and the proof of the rig that tries it.

use crate::steps::{self, Steps, program};
use std::process::Command;

/// Images of one recorded run of the workload: a run's log is read once, and another run is another history.
const IMAGES_OF_A_RUN: u64 = 1000;
/// Images in which a planted mistake must show.
const PLANTED_IMAGES: u64 = 40;
/// Images of each case of the rig's self-test.
const SELF_TEST_IMAGES: &str = "20";

fn faultdisk(arguments: &[&str]) -> Command {
    program(steps::binary("faultdisk"), arguments)
}

fn build(steps: &mut Steps) -> bool {
    steps::build(steps, &["weir-faultdisk"])
}

/// A right workload must pass and each planted mistake must be found.
pub(crate) fn self_test(steps: &mut Steps) {
    if build(steps) {
        steps.command("the power-loss rig itself", faultdisk(&["self-test", "--images", SELF_TEST_IMAGES]));
    }
}

/// `images` crash images of the real store, half on each file system; then a store that leaves out its syncs of
/// directories, or of files, which must be found out.
pub(crate) fn store(steps: &mut Steps, images: u64) {
    if !build(steps) {
        return;
    }
    for fs in ["xfs", "ext4"] {
        let mut left = images.div_ceil(2);
        let mut seed = 1;
        while left > 0 {
            let now = left.min(IMAGES_OF_A_RUN);
            let what = format!("power loss on {fs}: {now} images, seed {seed}");
            steps.command(&what, run(fs, now, seed, &[], &[]));
            left -= now;
            seed += 1;
        }
        for plant in ["dir-sync", "file-sync"] {
            let what = format!("power loss on {fs} without {plant}");
            steps.command(&what, run(fs, PLANTED_IMAGES, 1, &["--must-find"], &["--plant", plant]));
        }
    }
}

fn run(fs: &str, images: u64, seed: u64, flags: &[&str], plant: &[&str]) -> Command {
    let workload = steps::binary("weir-crash-workload");
    let workload = workload.to_string_lossy();
    let (images, seed, checker) = (images.to_string(), seed.to_string(), format!("{workload} check"));
    let mut command =
        faultdisk(&["crash", "--fs", fs, "--images", &images, "--seed", &seed, "--check", &checker]);
    command.args(flags).args(["--", &workload, "run", "--seed", &seed]).args(plant);
    command
}
