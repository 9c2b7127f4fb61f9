"""Shots of a show, made in one way: created, edited and cloned by the hooks of this asset.

All of it is done by the command ``backlot``, whose answers are JSON. Each hook is a function without arguments that reads
``sys.argv``; its value is the exit code.
"""

import argparse
import json
import sys
from pathlib import Path

from .__version__ import __version__
from .command import BacklotError, backlot


def create() -> int:
    """Create a shot and publish it."""
    parser = _parser("create", "create a shot and publish it")
    parser.add_argument("name")
    parser.add_argument("--requires", action="append", default=[], metavar="REQUIREMENT")
    _frames(parser)
    return _run(parser, _create)


def edit() -> int:
    """Change the frames of a shot and publish the next version."""
    parser = _parser("edit", "change a shot and publish its next minor version")
    parser.add_argument("name")
    _frames(parser)
    return _run(parser, _edit)


def clone() -> int:
    """Make a new shot of the newest release of another one."""
    parser = _parser("clone", "make a shot of the newest release of another one, and publish it")
    parser.add_argument("source")
    parser.add_argument("name")
    _frames(parser)
    return _run(parser, _clone)


def _create(options: argparse.Namespace) -> None:
    made = backlot("new", options.name, "--type", "Shot", "--summary", f"{options.name}, a shot")
    if options.requires:
        backlot("input", "add", made["name"], *options.requires)
    _write(_package_of(made["name"]), options, {"first": 1001, "last": 1100, "layers": []})
    _publish(made["name"], options, "created by shot_creator")


def _edit(options: argparse.Namespace) -> None:
    folder = _editable(options.name)
    _write(folder, options, {})
    _publish(options.name, options, "edited by shot_creator", "--bump", "minor")


def _clone(options: argparse.Namespace) -> None:
    if _package_of(options.source) is not None:
        raise ValueError(f"{options.source} is edited here; publish it, and clone it in another workspace")
    _editable(options.source)
    renamed = backlot("rename", options.source, options.name)
    folder = _package_of(options.name)
    _write(folder, options, {"cloned_from": renamed["from_package"]})
    _publish(renamed["to"], options, f"cloned from {renamed['from']} by shot_creator")


def _editable(name: str) -> Path:
    """The package folder of a shot that can be edited here; its newest release is made editable if there is none."""
    if _package_of(name) is None:
        backlot("install", name)
        backlot("edit", name)
    return _package_of(name)


def _package_of(name: str) -> "Path | None":
    """The folder of an output's package, which has its ``shot.json``; none if it is not edited here."""
    status = backlot("status")
    for output in status["outputs"]:
        if output["name"] == name:
            return Path(status["root"], output["path"], "src", output["package"].replace("-", "_"))
    return None


def _write(folder: Path, options: argparse.Namespace, defaults: dict) -> None:
    path = folder / "shot.json"
    shot = dict(defaults)
    if path.exists():
        shot = {**json.loads(path.read_text()), **defaults}
    for key in ("first", "last"):
        if getattr(options, key) is not None:
            shot[key] = getattr(options, key)
    if shot.get("first", 0) > shot.get("last", 0):
        raise ValueError(f"the first frame {shot['first']} is after the last one, {shot['last']}")
    path.write_text(json.dumps(shot, indent=2, sort_keys=True) + "\n")


def _publish(name: str, options: argparse.Namespace, message: str, *more: str) -> None:
    if options.build_only:
        built = backlot("build", name)
        print(f"built {built['wheel']}")
        return
    done = backlot("publish", name, "--message", message, *more)
    print(f"published {done['asset']} {done['version']} to {done['repo']}")


def _parser(hook: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"backlot run --hook {hook} shot_creator", description=about)
    parser.add_argument("--build-only", action="store_true", help="build the wheel, publish nothing")
    return parser


def _frames(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--first", type=int, metavar="FRAME")
    parser.add_argument("--last", type=int, metavar="FRAME")


def _run(parser: argparse.ArgumentParser, work) -> int:
    try:
        work(parser.parse_args())
    except (BacklotError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0
