"""`sm-proxy go`: lets waiting containers start the job's program, on one node or on all nodes."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.remote.release import EndWord, NodeOutcome, release_nodes
from sm_proxy.settings import Settings

_WORDS = {
    ("go", "wait"): "its program starts now",
    ("go", "keep"): "was not waiting: its program has ended, and the container is kept",
    ("go", "shell"): "its program starts now",
    ("go", "ended"): "is not started: nothing answers there, so its container has ended already",
    ("go", "none"): "was not waiting: its program is already running",
    ("go", "unknown"): "its program starts now if it was waiting (its old entrypoint does not say)",
    ("done", "wait"): "will end with its program, which your connection has started",
    ("done", "keep"): "ends now",
    ("done", "shell"): "ends now, and its program was not started",
    ("done", "ended"): "has ended already, or with the other nodes",
    ("done", "none"): "will end with its program",
    ("done", "unknown"): "ends now if it was kept (its old entrypoint does not say)",
}

DESCRIPTION: Final = (
    "Starts the program of a container that waits for you (SM_PROXY_WAIT, or `relaunch --shell`)."
)
EXAMPLES: Final = (
    ("sm-proxy go sm-myjob", "on all nodes"),
    ("sm-proxy go sm-myjob.algo-2", "on one node"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`go HOST [--json]`: for every node, or for the one that HOST names (`sm-myjob.algo-2`)."""
    parser.add_argument(
        "host", metavar="HOST", help="a job (all its nodes), or one node, such as sm-<job>.algo-2"
    )
    options.add_wait(parser)
    options.add_ssh_config(parser, options.CONFIG_OF_KEY)
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """End the wait before the job's program."""
    return end_window("go", args, settings)


def end_window(release: EndWord, args: argparse.Namespace, settings: Settings) -> Result:
    """End the wait or the keeping; data: `{"job", "nodes": [{"node", "window", "told", "error"}]}`.

    `window` is the node's state before: wait, keep, shell, none, ended or unknown. A node that has
    ended was not told, and that is no error. `error` is as in the envelope.
    """
    target = options.target_of(args, settings)
    options.refuse_unless_job(target, "has no program that waits, or after which it is kept")
    aws = Aws(settings.profile, settings.region)
    job, nodes = release_nodes(release, target, settings, aws, output.status)
    data = {"job": job, "nodes": [_data(node) for node in nodes]}
    text = tuple(_line(release, node) for node in nodes)
    failure = next((node.error for node in nodes if node.error), None)
    return Result(data, text, exit_status=1 if failure else 0, failure=failure)


def _data(node: NodeOutcome) -> dict[str, object]:
    error = node.error and {
        "code": node.error.code,
        "message": node.error.message,
        "hint": node.error.hint,
    }
    return {"node": node.node, "window": node.window, "told": node.told, "error": error}


def _line(release: EndWord, node: NodeOutcome) -> str:
    if node.error:
        return f"{node.node}  {node.error.code}: {node.error.text}"
    return f"{node.node}  {_WORDS[release, node.window]}"
