"""Runs `sm-proxy` commands in forks of one process that has already imported everything.

Python's start and imports take two thirds of a `doctor` run. The hundred tests of doctor's findings
need them only once; other tests start the real program.
"""

from __future__ import annotations

import gc
import json
import os
import sys


def serve() -> None:
    """Run the command of each line on stdin; print its exit status.

    A line is JSON: `words`, `env`, and the files that take its stdout and stderr, `out` and `err`.
    """
    import botocore.session
    import paramiko
    import websockets.sync.client

    import sm_proxy.commands.doctor

    assert all((botocore.session, paramiko, websockets.sync.client, sm_proxy.commands.doctor))
    gc.collect()
    gc.freeze()  # a search for garbage would copy the pages that the forks share
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(words: list[str], env: dict[str, str], out: str, err: str) -> None:
    """Run the command in this process, and exit with its status."""
    from sm_proxy.cli import main

    os.environ.clear()
    os.environ.update(env)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for descriptor, path, mode in ((0, os.devnull, os.O_RDONLY), (1, out, flags), (2, err, flags)):
        os.dup2(os.open(path, mode, 0o600), descriptor)
    sys.argv = ["sm-proxy", *words]
    status = main()
    gc.freeze()  # as the program itself does at its end
    sys.exit(status)


if __name__ == "__main__":
    serve()
