"""`sm-proxy go`: end the waiting before the job's program, on one node or on all of them."""

from __future__ import annotations

import argparse

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.remote.release import EndWord, NodeOutcome, release_nodes
from sm_proxy.settings import Settings

_WORDS = {
    ("go", "wait"): "told to go on: the program starts",
    ("go", "keep"): "was not waiting: its program has ended, the container is kept (sm-proxy done)",
    ("go", "none"): "was not waiting: its program runs already",
    ("go", "unknown"): "told to go on, should it be waiting: it does not say",
    ("done", "wait"): "will not be kept once its program has ended; your connection starts it",
    ("done", "keep"): "told that you are done: the container ends",
    ("done", "none"): "will not be kept once its program has ended",
    ("done", "unknown"): "told that you are done, should it be kept: it does not say",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`go HOST [--json]`: every node of the job, unless HOST names one (`sm-myjob.algo-2`)."""
    parser.add_argument("host", metavar="HOST", help="a job: all its nodes; or one, as .algo-2")
    options.add_wait(parser)
    options.add_ssh_config(parser, options.CONFIG_OF_KEY)
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """End the waiting."""
    return end_window("go", args, settings)


def end_window(release: EndWord, args: argparse.Namespace, settings: Settings) -> Result:
    """End a window; data: `{"job", "nodes": [{"node", "window", "told", "error"}]}`.

    `window` is what the node was in: wait, keep, none or unknown. `error` has the envelope's shape.
    """
    target = options.target_of(args, settings)
    aws = Aws(settings.profile, settings.region)
    job, nodes = release_nodes(release, target, settings, aws, output.status)
    data = {"job": job, "nodes": [_data(node) for node in nodes]}
    text = "\n".join(_line(release, node) for node in nodes)
    failure = next((node.error for node in nodes if node.error), None)
    return Result(data, text, exit_status=1 if failure else 0, failure=failure)


def _data(node: NodeOutcome) -> dict[str, object]:
    error = node.error and {
        "code": node.error.code,
        "message": node.error.message,
        "hint": node.error.hint,
    }
    return {"node": node.node, "window": node.window, "told": not error, "error": error}


def _line(release: EndWord, node: NodeOutcome) -> str:
    if node.error:
        return f"{node.node}  {node.error.code}: {node.error.text}"
    return f"{node.node}  {_WORDS[release, node.window]}"
