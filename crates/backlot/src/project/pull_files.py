"""Pull the files of this asset, as ``backlot pull`` does: ``python -m PACKAGE``.

Arguments are those of ``backlot pull``, as ``--frames 1001-1010``. The workspace is the one that the package is installed in, also that of
``backlot run --with``. Needs the command ``backlot``, in PATH or as BACKLOT_PROGRAM.
"""

import os
import shutil
import subprocess
import sys


def main() -> int:
    """Call the command; its exit code."""
    program = os.environ.get("BACKLOT_PROGRAM") or shutil.which("backlot")
    if program is None:
        print("the command `backlot` is not in PATH: install it, as with `pip install backlot`", file=sys.stderr)
        return 1
    # Not what links lead to: that is the cache.
    folder = os.path.dirname(os.path.abspath(__file__))
    return subprocess.call([program, "--workspace", folder, "pull", __package__, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
