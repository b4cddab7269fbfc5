//! Power loss on the real store, and the proof of the rig that tries it.

use crate::steps::{Build, Steps, program};
use std::process::Command;

/// Images above which a build for speed is worth its time.
const DEBUG_IMAGES_MAX: u64 = 1000;
/// Images in which a planted mistake must show.
const PLANTED_IMAGES: u64 = 40;
/// Images of each case of the rig's self-test.
const SELF_TEST_IMAGES: &str = "20";

fn build(steps: &mut Steps, build: Build) -> bool {
    build.make(steps, &["weir-faultdisk"])
}

/// A right workload must pass and each planted mistake must be found.
pub(crate) fn self_test(steps: &mut Steps) {
    let how = Build::asked();
    if build(steps, how) {
        let faultdisk = program(how.binary("faultdisk"), &["self-test", "--images", SELF_TEST_IMAGES]);
        steps.command("the power-loss rig itself", faultdisk);
    }
}

/// `images` crash images of the real store, half on each file system, of histories from `seed` on; then a store that
/// leaves out its syncs of directories, or of files, which must be found out.
pub(crate) fn store(steps: &mut Steps, images: u64, seed: u64) {
    let how = if images > DEBUG_IMAGES_MAX { Build::Release } else { Build::asked() };
    if !build(steps, how) {
        return;
    }
    for fs in ["xfs", "ext4"] {
        let each = images.div_ceil(2);
        let what = format!("power loss on {fs}: {each} images, from seed {seed} on");
        steps.command(&what, run(how, fs, each, seed, &[], &[]));
        for plant in ["dir-sync", "file-sync"] {
            let what = format!("power loss on {fs} without {plant}");
            steps.command(&what, run(how, fs, PLANTED_IMAGES, seed, &["--must-find"], &["--plant", plant]));
        }
    }
}

fn run(how: Build, fs: &str, images: u64, seed: u64, flags: &[&str], plant: &[&str]) -> Command {
    let workload = how.binary("weir-crash-workload");
    let workload = workload.to_string_lossy();
    let (images, seed, checker) = (images.to_string(), seed.to_string(), format!("{workload} check"));
    let mut command = program(
        how.binary("faultdisk"),
        &["crash", "--fs", fs, "--images", &images, "--seed", &seed, "--check", &checker],
    );
    command.args(flags).args(["--", &workload, "run"]).args(plant);
    command
}
