"""Ways to an instance's own sshd: EC2 Instance Connect's keys, and the console's host keys."""

from __future__ import annotations

import base64
import binascii
import time
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.gateway_client import GatewayError
from sm_proxy_lab.aws.http.errors import AwsError, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.gateway_client import GatewayClient
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.moto_app import Moto

_KINDS = {"ssh-ed25519", "ssh-rsa"}
"""The types of keys that EC2 Instance Connect accepts."""
_BOOT = """\
[    0.000000] Linux version 6.1.141-155.222.amzn2023.x86_64
[    4.208127] cloud-init[1613]: Cloud-init v. 22.2.2 running 'modules:final'. Up 9.51 seconds.
"""


class InstanceAccess:
    """The operations `ec2-instance-connect:SendSSHPublicKey` and `ec2:GetConsoleOutput`."""

    def __init__(self, gateway: GatewayClient, faults: Faults, moto: Moto) -> None:
        self._gateway = gateway
        self._faults = faults
        self._moto = moto
        self.connect: dict[str, Callable[[Call], dict[str, Any]]] = {
            "SendSSHPublicKey": self._send_key
        }
        self.ec2: dict[str, Callable[[Call], Reply]] = {"GetConsoleOutput": self._console}

    def _send_key(self, call: Call) -> dict[str, Any]:
        target, key = call.params["InstanceId"], call.params["SSHPublicKey"].strip()
        known = {instance.instance_id for instance in self._moto.instances(call.region)}
        if target not in known:
            raise AwsError("EC2InstanceNotFoundException", "The specified instance was not found.")
        if not _is_public_key(key):
            raise AwsError("InvalidArgsException", "Key is not in a valid OpenSSH format")
        self._ask("push-key", target=target, user=call.params["InstanceOSUser"], key=key)
        return {"RequestId": call.request_id, "Success": True}

    def _console(self, call: Call) -> Reply:
        reply = self._moto(call)
        if reply.status >= 400:  # there is no such instance
            return reply
        target, shown = call.params["InstanceId"], _BOOT
        if self._faults["console"] == "first boot":  # cloud-init prints them only then
            keys = "\n".join(self._ask("host-keys", target=target)["keys"])
            shown += f"-----BEGIN SSH HOST KEY KEYS-----\n{keys}\n-----END SSH HOST KEY KEYS-----\n"
        output = base64.b64encode(shown.replace("\n", "\r\n").encode()).decode()
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<GetConsoleOutputResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<requestId>{call.request_id}</requestId><instanceId>{target}</instanceId>"
            f"<timestamp>{now}</timestamp><output>{output}</output></GetConsoleOutputResponse>"
        )
        return Reply(200, body.encode(), {"Content-Type": "text/xml;charset=UTF-8"})

    def _ask(self, op: str, **request: object) -> dict[str, Any]:
        try:
            answer = self._gateway.ask(op, **request)
        except GatewayError as error:
            raise AwsError("ServiceException", str(error), 500) from error
        if "error" in answer:
            raise AwsError("ServiceException", str(answer["error"]), 500)
        return answer


def _is_public_key(line: str) -> bool:
    kind, _, rest = line.partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except binascii.Error:
        return False
    head = len(kind).to_bytes(4, "big") + kind.encode()
    return kind in _KINDS and "\n" not in line and blob.startswith(head)
