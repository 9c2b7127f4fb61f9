#!/usr/bin/env bash
# All tests, from a fresh machine with a Rust toolchain: installs what they need, then lints, tests and documentation.
# The target directory is shared between runs and lies outside the clone (BACKLOT_TARGET_DIR).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TARGET_DIR="${BACKLOT_TARGET_DIR:-${CARGO_TARGET_DIR:-$HOME/.cache/backlot/target}}"
export BACKLOT_TEST_TOOLS="${BACKLOT_TEST_TOOLS:-$HOME/.cache/backlot/test-tools}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
# State of the compiler between builds is for those who edit; here it would only fill the disk.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"

# Also the stores that are not in the default set.
stores=(--features backlot-cli/gdrive,backlot-cli/oss)

step() { printf '\n== %s\n' "$*"; }

# Programs of builds before are never run again, and with each change there is another set of them. Where there is little room they go.
if [ "$(df --output=avail -k "$(mkdir -p "$CARGO_TARGET_DIR" && echo "$CARGO_TARGET_DIR")" | tail -1)" -lt $((40 << 20)) ]; then
    step "room on the disk"
    find "$CARGO_TARGET_DIR" -path '*/deps/*' -type f -perm -u+x ! -name '*.so' -size +1M -delete
    rm -rf "$CARGO_TARGET_DIR"/debug/incremental "$CARGO_TARGET_DIR"/debug/examples
fi

step "tools"
scripts/test-tools.sh

if cargo fmt --version >/dev/null 2>&1; then
    step "format"
    cargo fmt --all --check
fi
if cargo clippy --version >/dev/null 2>&1; then
    step "lints"
    cargo clippy --workspace --all-targets --locked "${stores[@]}" -- -D warnings
fi

# The libraries and the command compile for Windows, where this machine can have what that takes: a target of rustup, and the compiler of test-tools.sh.
windows=x86_64-pc-windows-gnu
if rustup target add "$windows" >/dev/null 2>&1 && command -v x86_64-w64-mingw32-gcc >/dev/null 2>&1; then
    step "Windows"
    cargo check -p backlot-cli --target "$windows" --locked "${stores[@]}"
else
    step "Windows: not checked, there is no target $windows here"
fi

step "tests"
# All of them, so that one run says all that is wrong.
cargo test --workspace --locked --no-fail-fast "${stores[@]}"

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet "${stores[@]}"

step "packages"
# All is downloaded by now, so as a rule no index is asked.
package=(cargo package --workspace --exclude backlot-tests --exclude backlot-benches --exclude backlot-xtask --exclude backlot-fuzz-checks
    --no-verify --allow-dirty --locked --quiet)
"${package[@]}" --offline || "${package[@]}"

step "what the libraries offer"
cargo xtask surface --check "${stores[1]}"

step "done: all tests passed"
