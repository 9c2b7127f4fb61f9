# Names for what is often typed. `just` lists them.

# Build the command.
build:
    cargo build --release -p backlot-cli

# The main job in a new folder.
demo *arguments:
    cargo run --release -- demo {{arguments}}

# Everything CI runs.
test:
    scripts/test.sh

# Lints and format only.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# The command against dvc, in one run. For figures to keep, build it with `--profile dist` and name it with `--backlot`.
bench *arguments:
    cargo build --release -p backlot-cli
    cargo run --release -p backlot-benches -- {{arguments}}

# What is shipped: binary, archive, wheel, checksums.
dist *arguments:
    cargo xtask dist {{arguments}}

# docs/commands from the help of the command.
pages:
    cargo xtask pages

# Compare docs/errors.md with the code.
errors:
    cargo xtask errors

# Licences and arrows of third parties (needs cargo-deny).
deny:
    cargo deny check
