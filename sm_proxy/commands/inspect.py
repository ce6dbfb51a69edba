"""`sm-proxy inspect`: the hardware of a machine, and what uses it."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.remote.machine import probe, report, text
from sm_proxy.remote.run import run_script
from sm_proxy.settings import Settings

DESCRIPTION: Final = (
    "Shows the machine of a container: GPUs, memory, disks, ports and busy processes. It runs"
    " one script over ssh."
)
EXAMPLES: Final = (
    ("sm-proxy inspect sm-myjob", "the first node"),
    ("sm-proxy inspect sm-myjob.algo-2 --json", "another node, for a script"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`inspect HOST [--json]`."""
    options.add_host(parser)
    options.add_wait(parser)
    options.add_ssh_config(parser, options.CONFIG_OF_KEY)
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Run one script over ssh.

    The data are those of `remote/machine/report.py`, with `job` and `node`; of a Studio space and a
    HyperPod node without what our entrypoint tells.
    """
    target = options.target_of(args, settings)
    aws = Aws(settings.profile, settings.region)
    container = resolver.resolve(target, settings, aws, wait=settings.wait, on_status=output.status)
    script, mark = probe.script()
    answer = run_script(container, settings, script)
    found = probe.sections(answer.output, mark)
    if not found:
        raise SmProxyError(
            "unsupported",
            f"our shell script did not run on {container.host} (exit status {answer.status})",
            f"Try: ssh {container.host} sh -c true",
        )
    data = report.of(found)
    if container.kind in SESSION_KINDS:  # our entrypoint is not there
        data = {name: value for name, value in data.items() if name not in report.OF_ENTRYPOINT}
    return Result(
        {"job": container.job, "node": container.node, **data}, partial(text.render, data)
    )
