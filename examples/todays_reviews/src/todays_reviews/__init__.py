"""What was published to a repo on a day, as one asset that requires exactly those releases."""

import argparse
import datetime
import json
import sys
from pathlib import Path

from .__version__ import __version__
from .command import BacklotError, backlot

#: The asset itself, which is no review.
PACKAGE = "todays-reviews"


def reviews() -> list:
    """The releases of this one, as ``{"package": ..., "version": ..., "by": ...}``."""
    path = Path(__file__).parent / "reviews.json"
    return json.loads(path.read_text())["releases"] if path.exists() else []


def collect() -> int:
    """The hook: collect the releases of a day, and publish them as one."""
    parser = argparse.ArgumentParser(prog="backlot run --hook collect todays_reviews")
    parser.add_argument("repo", help="the repo that reviews are published to")
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="the day, in UTC [default: today]")
    parser.add_argument("--type", metavar="TYPE", help="only assets of this type")
    options = parser.parse_args()
    try:
        day = datetime.date.fromisoformat(options.day) if options.day else _today()
        print(_collect(options.repo, day, options.type))
    except (BacklotError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _collect(repo: str, day: datetime.date, asset_type: "str | None") -> str:
    found = _published_on(repo, day)
    if asset_type is not None:
        of_type = backlot("search", "--type", asset_type, "--repo", repo)["packages"]
        names = {row["package"] for row in of_type}
        found = [release for release in found if release["package"] in names]
    if not found:
        return f"nothing was published to {repo} on {day}"
    folder, version, before = _project()
    if before == {"day": day.isoformat(), "releases": found}:
        return f"{version} has all {len(found)} releases already"
    _require(found, [release["package"] for release in before.get("releases", [])])
    text = json.dumps({"day": day.isoformat(), "releases": found}, indent=2) + "\n"
    (folder / "reviews.json").write_text(text)
    next_version = _next_version(day, version)
    message = f"{len(found)} releases of {day}"
    done = backlot("publish", PACKAGE, "--to", repo, "--bump", next_version, "--message", message)
    return f"published {done['asset']} {done['version']} with {len(found)} releases"


def _published_on(repo: str, day: datetime.date) -> list:
    """The last release of each asset that was published on a day and not yanked since, by name."""
    releases = {}
    cursor = "0"
    while True:
        answer = backlot("events", repo, "--since", cursor, "--limit", "1000")
        for event in answer["events"]:
            _take(event, day, releases)
        cursor = answer["cursor"]
        if not answer["more"]:
            return [releases[name] for name in sorted(releases)]


def _take(event: dict, day: datetime.date, releases: dict) -> None:
    name, version = event["package"], event["version"]
    if event["topic"] == "release.created" and event["time"].startswith(day.isoformat()):
        if name != PACKAGE:
            releases[name] = {"package": name, "version": version, "by": event["author"]}
    elif event["topic"] == "release.yanked" and releases.get(name, {}).get("version") == version:
        del releases[name]


def _project() -> tuple:
    """The folder of the package that is edited, its version, and what it has collected."""
    status = backlot("status")
    for output in status["outputs"]:
        if output["package"] == PACKAGE:
            folder = Path(status["root"], output["path"], "src", "todays_reviews")
            path = folder / "reviews.json"
            before = json.loads(path.read_text()) if path.exists() else {}
            return folder, output["version"], before
    raise ValueError("todays_reviews is not an output here; run `backlot edit todays_reviews` first")


def _require(found: list, before: list) -> None:
    names = [release["package"] for release in found]
    gone = [name for name in before if name not in names]
    if gone:
        backlot("input", "remove", PACKAGE, *gone)
    backlot("input", "add", PACKAGE, *[f"{one['package']}=={one['version']}" for one in found])


def _next_version(day: datetime.date, version: str) -> str:
    """``2026.11.30``, or the next ``.postN`` of it."""
    of_day = f"{day.year}.{day.month}.{day.day}"
    if version == of_day:
        return f"{of_day}.post1"
    if version.startswith(f"{of_day}.post"):
        return f"{of_day}.post{int(version.rsplit('post', 1)[1]) + 1}"
    return of_day


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.timezone.utc).date()
