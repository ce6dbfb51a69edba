"""Checks of the bastion's own sshd: its agent, EC2 Instance Connect, and its host key."""

from __future__ import annotations

import base64
import os
from typing import Final

from sm_proxy import public_key
from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor import bastion
from sm_proxy.doctor.check import Context, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.routes import bastion_host_key
from sm_proxy.state import pinned_key

_KIND: Final = b"ssh-ed25519"


def agent(context: Context) -> str:
    """The agent is online; to reach sshd, it need not be able to forward to other hosts."""
    try:
        return bastion.agent(context)
    except SmProxyError as error:
        if error.code != "agent-too-old":
            raise
        return "Online, too old for the route bastion, but new enough for this one"


def instance_connect(context: Context) -> str:
    """EC2 Instance Connect pushes a key to the bastion; here, a key without a private half."""
    target = str(needed(context.hop, "the bastion")["InstanceId"])
    user = context.settings.bastion_user
    try:
        context.aws.call(
            "ec2-instance-connect",
            "SendSSHPublicKey",
            InstanceId=target,
            InstanceOSUser=user,
            SSHPublicKey=_unusable_key(),
        )
    except ServiceError as error:
        raise error.as_failure() from None
    return f"pushes keys for {user} to {target}"


def host_key(context: Context) -> str:
    """The bastion's pinned host key is one of those on its console."""
    target = str(needed(context.hop, "the bastion")["InstanceId"])
    path = bastion_host_key.pin_file(target)
    pinned = pinned_key.read(path)
    on_console = bastion_host_key.in_console(context.aws, target)
    if pinned is None:
        raise SkipCheck("no connection has pinned it yet")
    shown = public_key.describe(pinned)
    if not on_console:
        return f"{shown}, pinned at first use; the console output shows none"
    if pinned not in on_console:
        raise SmProxyError(
            "host-key-changed",
            f"the pinned host key of {target}, {shown}, is not among those on its console",
            f"Ask whether its host keys were replaced. If not, delete {path}.",
        )
    return f"{shown}, pinned; the console output names it"


def _unusable_key() -> str:
    """A public key `"type base64"` without a private one: 32 random bytes."""
    parts = (_KIND, os.urandom(32))
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"{_KIND.decode()} {base64.b64encode(blob).decode()}"
