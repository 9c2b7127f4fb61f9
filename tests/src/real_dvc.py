"""Real dvc, imported once: each line of standard input asks for one call, which is made in a process of its own.

A line is JSON: `folder`, `arguments`, and `log`, the file for what dvc says. The answer is a line with its exit code.
"""

import json
import os
import sys

# What calls import late is imported before they are forked.
import dvc.cachemgr  # noqa: F401
import dvc.cli.parser
import dvc.commands.repro  # noqa: F401
import dvc.commands.status  # noqa: F401
import dvc.data_cloud  # noqa: F401
import dvc.repo.artifacts  # noqa: F401
import dvc.repo.datasets  # noqa: F401
import dvc.repo.graph  # noqa: F401
import dvc.repo.index  # noqa: F401
import dvc.repo.plots  # noqa: F401
import dvc.repo.reproduce  # noqa: F401
import dvc.repo.status  # noqa: F401
import dvc.stage.cache  # noqa: F401
import dvc.stage.run  # noqa: F401
import dvc.utils.strictyaml  # noqa: F401
import dvc_data.hashfile.status  # noqa: F401
import networkx  # noqa: F401
import ruamel.yaml  # noqa: F401
from dvc.cli import main

dvc.cli.parser.get_main_parser()


def call(ask):
    os.chdir(ask["folder"])
    log = os.open(ask["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for stream, to in ((0, nothing), (1, log), (2, log)):
        os.dup2(to, stream)
    try:
        return main(ask["arguments"])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = call(asked)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
