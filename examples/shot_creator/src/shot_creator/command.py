"""The command ``backlot`` as a function: its arguments in, its JSON out, its errors as an exception."""

import json
import os
import subprocess


class BacklotError(Exception):
    """What the command could not do: its code, as ``output::exists``, and what gets out of it."""

    def __init__(self, code: str, message: str, help: "str | None") -> None:
        super().__init__(message if help is None else f"{message} ({help})")
        self.code = code


def backlot(*arguments: str) -> dict:
    """Run the command in the current workspace; what it answers."""
    program = os.environ.get("BACKLOT_PROGRAM", "backlot")
    done = subprocess.run([program, *arguments, "--json"], stdout=subprocess.PIPE, check=False)
    answer = json.loads(done.stdout)
    error = answer.get("error")
    if error is not None:
        raise BacklotError(error["code"], error["message"], error.get("help"))
    return answer
