#!/bin/sh
# The cancellation suite must pass as the crate is, and fail with each planted bug. Run from anywhere in the workspace.
set -u
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/planted"
suite() { RUSTFLAGS="$1" timeout 600 cargo test -p weir-ring --test cancel >"$CARGO_TARGET_DIR/planted.log" 2>&1; }
mkdir -p "$CARGO_TARGET_DIR"
suite "" || { cat "$CARGO_TARGET_DIR/planted.log"; echo "the suite fails without a planted bug"; exit 1; }
for bug in buffer_at_drop fd_at_drop; do
    RUSTFLAGS="--cfg planted=\"$bug\"" cargo build --quiet -p weir-ring --tests || { echo "$bug does not build"; exit 1; }
    if suite "--cfg planted=\"$bug\""; then echo "planted bug $bug was not noticed"; exit 1; fi
    noticed=$(grep -cE '^test [a-z_]+ \.\.\. FAILED|^[a-z_]+ --- FAILED' "$CARGO_TARGET_DIR/planted.log")
    if [ "$noticed" -eq 0 ]; then tail -20 "$CARGO_TARGET_DIR/planted.log"; echo "$bug: the suite did not run to its end"; exit 1; fi
    echo "planted bug $bug: noticed by $noticed tests"
done
