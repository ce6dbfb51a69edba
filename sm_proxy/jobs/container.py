"""A container that we can connect to: the result of resolving a host name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sm_proxy.aws.job_kinds import SESSION_KINDS, Kind
from sm_proxy.jobs.job import training_target


@dataclass(frozen=True)
class Container:
    """A container that we can connect to.

    Attributes:
        host: the name as the user typed it.
        job: the job's name, without prefix.
        kind: of the job, such as `training`.
        node: `algo-1`.
        address: its IP address; None if no address in the job's subnets is known.
        port: its SSH server's port.
        user: the user that its server accepts; None if its log does not tell.
        host_keys: each `"type base64"`; empty if its log names none.
        status: the job's SecondaryStatus.
        source: the log format of the address: see `log_formats.Source`; `session` if the marker
            was read through a session of Session Manager; None for a kind of `SESSION_KINDS`.
        vpc_id: its VPC; None without one, or if its subnets could not be looked up.
        stream: the log stream with the address; empty if unknown.
        problems: what does not work in it, in its own words; of a node of a cluster, what may not.
        remote_debug: whether the job's RemoteDebug is on.
        session_target: what a session reaches it by, for a kind of `SESSION_KINDS`: the ARN of a
            space, or `sagemaker-cluster:<id>_<group>-<instance>`.
        life: differs between two servers with the same `session_target`; empty if it never does.
        cached: True if it comes from the cache; False if its log was just read.
    """

    host: str
    job: str
    kind: Kind
    node: str
    address: str | None
    port: int
    user: str | None
    host_keys: tuple[str, ...]
    status: str
    source: str | None
    vpc_id: str | None
    stream: str = ""
    problems: tuple[str, ...] = ()
    remote_debug: bool = False
    session_target: str = ""
    life: str = ""
    cached: bool = False

    def as_data(self) -> dict[str, Any]:
        """The `resolve` command's data."""
        data = asdict(self)
        for name in ("host", "stream", "problems", "remote_debug", "session_target", "life"):
            del data[name]
        return {**data, "host_keys": list(self.host_keys)}

    @property
    def training_target(self) -> str:
        """The target of SSM sessions to it, if RemoteDebug is on."""
        return training_target(self.job, self.node)

    @property
    def place(self) -> str:
        """Where its server listens, for people: `10.0.1.5 port 22`."""
        return f"{self.address or self.session_target or self.training_target} port {self.port}"

    @property
    def look(self) -> str:
        """How to find out why its server does not answer, if not in its log; else empty."""
        if self.kind not in SESSION_KINDS:
            return ""
        words = SESSION_KINDS[self.kind].look.format(host=self.host, target=self.session_target)
        return " ".join([*self.problems, words])

    @property
    def accepts_first_key(self) -> bool:
        """Whether the first host key that its server shows is accepted, without an opt-in."""
        return self.kind in SESSION_KINDS and SESSION_KINDS[self.kind].accepts_first_key

    @property
    def key_advice(self) -> str:
        """How to make it accept a public key; only our entrypoint reads the environment."""
        if self.kind in SESSION_KINDS:
            advice = SESSION_KINDS[self.kind].key_advice
            return advice.format(host=self.host, user=self.user)
        if self.source == "marker":
            return "Submit the job with the key in its environment: sm-proxy keys show --env"
        if self.source == "session":
            return f"Add your key to its server: sm-proxy bootstrap {self.host}"
        return "Let its image or its program write the key to authorized_keys: sm-proxy keys show"

    def same_place(self, other: Container) -> bool:
        """Whether both are the same running container."""
        return self._place == other._place

    @property
    def _place(self) -> tuple[object, ...]:
        return self.address, self.port, self.host_keys, self.session_target, self.life
