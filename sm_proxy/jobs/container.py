"""A container that can be dialled: what a host name is resolved to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sm_proxy.aws.job_kinds import Kind


@dataclass(frozen=True)
class Container:
    """A container that can be dialled.

    Attributes:
        host: the name as the user typed it.
        job: the job's name, without prefix.
        kind: training, processing, transform or endpoint.
        node: `algo-1`.
        address: its IP address.
        port: its SSH server's port.
        user: the user it serves, None where its log does not say.
        host_keys: each `"type base64"`; empty where its log names none.
        status: the job's SecondaryStatus.
        source: what told the address.
        vpc_id: the VPC it lives in.
        stream: the log stream that told it; empty where that is not known.
        cached: whether it is remembered; otherwise its log was read a moment ago.
    """

    host: str
    job: str
    kind: Kind
    node: str
    address: str
    port: int
    user: str | None
    host_keys: tuple[str, ...]
    status: str
    source: str
    vpc_id: str
    stream: str = ""
    cached: bool = False

    def as_data(self) -> dict[str, Any]:
        """The `resolve` command's data."""
        data = asdict(self)
        del data["host"], data["stream"]
        return {**data, "host_keys": list(self.host_keys)}

    @property
    def key_advice(self) -> str:
        """How it gets a public key to let in; only our entrypoint reads the environment."""
        if self.source == "marker":
            return "Submit the job with the key in its environment: sm-proxy keys show --env"
        return "Have its image or its program put the key into authorized_keys: sm-proxy keys show"

    def same_place(self, other: Container) -> bool:
        """Whether both are one and the same running container."""
        return (self.address, self.port, self.host_keys) == (
            other.address,
            other.port,
            other.host_keys,
        )
