//! Power loss on the real store, and the proof of the rig that tries it.

use crate::steps::{Steps, cargo, program, target};

/// Images of one recorded run of the workload: a run's log is read once, and another run is another history.
const IMAGES_OF_A_RUN: u64 = 1000;
/// Images of each case of the rig's self-test.
const SELF_TEST_IMAGES: &str = "20";

fn faultdisk(arguments: &[&str]) -> std::process::Command {
    program(target().join("release/faultdisk"), arguments)
}

fn build(steps: &mut Steps) -> bool {
    steps.command(
        "build of the power-loss rig",
        cargo(&["build", "--release", "--quiet", "-p", "weir-faultdisk"]),
    )
}

/// A right workload must pass and each planted mistake must be found.
pub(crate) fn self_test(steps: &mut Steps) {
    if build(steps) {
        steps.command("the power-loss rig itself", faultdisk(&["self-test", "--images", SELF_TEST_IMAGES]));
    }
}

/// `images` crash images of the real store, half on each file system.
pub(crate) fn store(steps: &mut Steps, images: u64) {
    if !build(steps) {
        return;
    }
    for fs in ["xfs", "ext4"] {
        let mut left = images.div_ceil(2);
        let mut seed = 1;
        while left > 0 {
            let now = left.min(IMAGES_OF_A_RUN);
            let (count, with) = (now.to_string(), seed.to_string());
            let workload = target().join("release/weir-crash-workload");
            let workload = workload.to_string_lossy();
            let checker = format!("{workload} check");
            let arguments = [
                "crash", "--fs", fs, "--images", &count, "--seed", &with, "--check", &checker, "--",
                &workload, "run",
            ];
            steps.command(&format!("power loss on {fs}: {count} images, seed {seed}"), faultdisk(&arguments));
            left -= now;
            seed += 1;
        }
    }
}
