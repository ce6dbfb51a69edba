"""`sm-proxy stop` of a Studio space: its app is deleted, and its home directory stays."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import space_argument
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.host_keys import accept_new, known_hosts
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.kinds import _space_server
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings
from sm_proxy.spaces import changes

_TIMEOUT_S: Final = 900.0
"""An app is gone after a minute or two."""


def run(args: argparse.Namespace, settings: Settings, target: Target) -> Result:
    """Stop the space; data: `{"job", "kind", "status", "stopped"}`, as for a job.

    If it is being stopped already, this run only waits.

    Raises:
        SmProxyError: `usage`, `unsupported`, `wait-timeout`, or a call failed.
    """
    aws = Aws(settings.profile, settings.region)
    with Interruptible("nothing has begun") as left:
        space, own = space_argument.find(aws, target)
        # They may run, and be billed.
        _space_server.refuse_other_apps(
            *(space.name, space.app_type, "sm-proxy cannot stop"),
            "Look in Studio whether its apps run, and stop them there.",
        )
        status = "Stopped" if space.app is None or space.app.gone else space.app.status
        data = {"job": space.name, "kind": "space", "status": status, "stopped": False}
        if status == "Stopped":
            return Result(data, (f"Studio space {space.name} does not run: its app is Stopped",))
        kept = "its home directory stays; unsaved notebooks and all in memory are lost"
        question = f"Stop Studio space {space.name} ({status}; {kept})?"
        ending = status == "Deleting"
        if not ending and not space_argument.confirmed("stop", question, target, own, yes=args.yes):
            return Result(data, (f"Studio space {space.name} was not stopped",), exit_status=1)
        again = f"sm-proxy stop {own.host}"
        waiter = space_argument.waiter(_TIMEOUT_S, again)
        left.words = f"SageMaker may still stop the app; to see its state: {again}"
        space_argument.forget(aws, space)
        if ending:
            changes.await_gone(aws, space, waiter)
        else:
            changes.end_app(aws, space, waiter)
        accept_new.forget(space.arn)
        for host in {target.host, own.host}:
            known_hosts.forget(settings, host)
    text = f"Studio space {space.name} is stopped; its home directory stays"
    return Result({**data, "stopped": not ending}, (text,))
