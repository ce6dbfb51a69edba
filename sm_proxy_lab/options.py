"""The options of a lab, and how the supervisor gets them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from sm_proxy_lab import init


@dataclass(frozen=True)
class Options:
    """The options of `lab run` and `lab up`, and two values that `run.py` adds.

    Attributes:
        folder: the lab's folder.
        cluster: the name of each HyperPod cluster, and the nodes of each of its instance groups.
        init: pid of the lab's init in the /proc of CMD, or of the shell that uses `lab up`.
    """

    folder: str
    init: int
    command: list[str]
    job: str
    nodes: int
    network: str | None
    status: str
    log_lines: int
    log_lines_before: int
    latency_ms: float
    train: str | None
    bare: bool
    image: str
    package: list[str]
    empty: bool
    cluster: list[tuple[str, dict[str, int]]]
    space: list[str]

    @classmethod
    def read(cls, caller: int) -> Options:
        """Read them from the pipe of the caller's process; exit if it has ended."""
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(caller, 1)
            if not byte:
                os._exit(init.FAILED)
            line += byte
        return cls(**json.loads(line))
