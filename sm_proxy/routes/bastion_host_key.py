"""The host key of a bastion's own sshd: pinned on first use, and compared with the console output.

SSM brings us to the right instance: IAM, TLS and the agent's identity see to that. The pinned key
also reveals another server that was started there. The container's key is checked by ssh, end to
end, so a false sshd on the bastion would only see names and times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sm_proxy import public_key
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output, paths
from sm_proxy.public_key import is_public_key
from sm_proxy.state import pinned_key

_BLOCK: Final = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL
)
"""What cloud-init prints at an instance's first boot (cc_keys_to_console)."""
_KEY: Final = re.compile(r"((?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*)")


def console_keys(aws: Aws, target: str) -> tuple[str, ...]:
    """The keys that the bastion's sshd may show; empty if any key is to be trusted now.

    Args:
        aws: reads the console output, unless a key is pinned.
        target: instance id of the bastion.

    Returns:
        Each `"type base64"`: the pinned key, else those of the console output.

    Raises:
        SmProxyError: `host-key-unknown`, others could have written the pinned key.
    """
    pinned = pinned_key.read(pin_file(target))
    return (pinned,) if pinned else in_console(aws, target)


def accept(target: str, key: str, expected: Sequence[str]) -> None:
    """Check the key that the bastion's sshd has shown, and pin it on its first use.

    Args:
        target: instance id of the bastion.
        key: `"type base64"`.
        expected: as `known` returned them.

    Raises:
        SmProxyError: `host-key-changed`; or the key cannot be pinned.
    """
    path = pin_file(target)
    pinned = pinned_key.read(path)
    if key in expected and key == pinned:
        return
    shown = public_key.describe(key)
    if pinned is not None:
        raise SmProxyError(
            "host-key-changed",
            f"the bastion {target} shows the host key {shown}, but at its first use it was "
            f"{public_key.describe(pinned)}",
            f"Ask whether its host keys were replaced. If so, delete {path} and connect again.",
        )
    if expected and key not in expected:
        raise SmProxyError(
            "host-key-changed",
            f"the bastion {target} shows the host key {shown}, which is not among those that it "
            "printed on its console at its first boot",
            "Ask whether its host keys were replaced. If so, reboot it: the old keys leave the "
            "console.",
        )
    pinned_key.write(path, key)
    why = "its console output names it" if expected else "at its first use"
    output.status(f"trusting the host key of the bastion {target}, {why}: {shown}")


def pin_file(target: str) -> Path:
    """The file with the pinned key of a bastion; no other instance ever has its id."""
    return paths.state_dir() / "bastion-keys" / target.replace(":", "_")


def in_console(aws: Aws, target: str) -> tuple[str, ...]:
    """The host keys in an instance's console output; empty if it has none or we may not read it."""
    try:
        answer = aws.call_if_allowed("ec2", "GetConsoleOutput", InstanceId=target)
    except SmProxyError:
        return ()
    blocks = _BLOCK.findall(str((answer or {}).get("Output", "")))
    found = _KEY.findall(blocks[-1]) if blocks else []
    return tuple(filter(is_public_key, found))
