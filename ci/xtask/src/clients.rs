//! Real clients against a real node: two virtual environments, one for each generation of the SDK.

use crate::steps::{Build, Steps, program, root, target};
use std::path::PathBuf;

/// The generations of the `aistore` SDK in use. The first environment also has boto3 and aws.
const SDKS: [&str; 2] = ["2.0.0", "1.26.0"];

/// Three times: an index that is away for a moment is no fault of the tree.
const INSTALL: &str = "for pause in 10 30 0; do \"$0\" install --quiet --disable-pip-version-check -r \"$1\" 2>&1 && \
                       exit 0; sleep $pause; done; exit 1";

/// Builds what the suites start.
pub(crate) fn build(steps: &mut Steps) {
    Build::asked().make(steps, &["weir", "weir-faultdisk"]);
}

/// The suites, with nodes of `shards` shards: all of them with the newer SDK, its own with the older.
pub(crate) fn run(steps: &mut Steps, shards: &str, arguments: &[String]) {
    for sdk in SDKS {
        let Some(pytest) = pytest(steps, sdk) else { continue };
        let suite = if sdk == SDKS[0] { "ci/clients" } else { "ci/clients/test_aistore.py" };
        let mut command = program(&pytest, &[suite]);
        command.args(arguments).env("WEIR_BIN", Build::asked().binary("weir")).env("WEIR_SHARDS", shards);
        steps.command(&format!("clients with aistore {sdk}, {shards} shards"), command);
    }
}

/// One test of the suites, by name.
pub(crate) fn one(steps: &mut Steps, test: &str, arguments: &[&str]) {
    let Some(pytest) = pytest(steps, SDKS[0]) else { return };
    let mut command = program(&pytest, &[&format!("ci/clients/{test}"), "-s"]);
    command.args(arguments).env("WEIR_BIN", Build::asked().binary("weir"));
    steps.command(test, command);
}

/// The environment's pytest; made when it is not there or when its requirements have changed.
fn pytest(steps: &mut Steps, sdk: &str) -> Option<PathBuf> {
    let generation = sdk.trim_end_matches(".0");
    let requirements = root()
        .join(format!("ci/clients/requirements-{}.txt", if sdk == "2.0.0" { "2.0" } else { generation }));
    let venv = target().join(format!("venv-{sdk}"));
    let (pytest, made) = (venv.join("bin/pytest"), venv.join("requirements.txt"));
    let wanted = std::fs::read(&requirements).unwrap_or_default();
    if pytest.exists() && std::fs::read(&made).is_ok_and(|had| had == wanted) {
        return Some(pytest);
    }
    let (venv, requirements) =
        (venv.to_string_lossy().into_owned(), requirements.to_string_lossy().into_owned());
    if !steps.command(&format!("environment of aistore {sdk}"), program("python3", &["-m", "venv", &venv])) {
        return None;
    }
    let pip = program("sh", &["-c", INSTALL, &format!("{venv}/bin/pip"), &requirements]);
    if !steps.command(&format!("packages of aistore {sdk}"), pip) {
        return None;
    }
    // Written last: an environment that was broken off is made again.
    std::fs::write(&made, wanted).ok().map(|()| pytest)
}
