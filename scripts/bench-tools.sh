#!/usr/bin/env bash
# Installs the rivals of the benches `store_rival` and `transfer_rival`: restic, borg, casync and rclone as Debian packages, rustic compiled
# by cargo into a folder of its own, dvc by scripts/test-tools.sh; and Apache, which serves WebDAV there. Does nothing when all is there. A rival that cannot be installed is said
# and left out; the bench leaves it out, too.
set -euo pipefail

tools="${BACKLOT_BENCH_TOOLS:-$HOME/.cache/backlot/bench-tools}"
rustic="0.11.4"

have() { command -v "$1" >/dev/null 2>&1; }

missing=()
have restic || missing+=(restic)
have borg || missing+=(borgbackup)
have casync || missing+=(casync)
have rclone || missing+=(rclone)
have htpasswd || missing+=(apache2-utils)
[ -x /usr/sbin/apache2 ] || missing+=(apache2)
if [ "${#missing[@]}" -gt 0 ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update -q
    for package in "${missing[@]}"; do
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends "$package" ||
            echo "not installed: $package" >&2
    done
fi

# Without its default features: they are a terminal interface, a file server and telemetry, nothing that a backup uses.
if [ "$("$tools/bin/rustic" --version 2>/dev/null)" != "rustic $rustic" ]; then
    CARGO_TARGET_DIR="$tools/build" nice -n 19 \
        cargo install rustic-rs --version "$rustic" --locked --no-default-features --root "$tools" ||
        echo "not installed: rustic $rustic" >&2
    rm -rf "$tools/build"
fi

"$(dirname "$0")/test-tools.sh"
echo "bench tools: $tools"
