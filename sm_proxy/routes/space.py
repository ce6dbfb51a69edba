"""The route to a Studio space: `sagemaker:StartSession` forwards to the space's ssh server."""

from __future__ import annotations

from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import Code
from sm_proxy.jobs.container import Container
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.tunnel.stream import Stream

DIALS_FROM: Final = "container"
MENDABLE: Final[frozenset[Code]] = frozenset()


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """SageMaker reaches every space whose app runs with remote access; makes no call."""
    del settings, aws
    return Verdict(usable=True, reason=f"SageMaker reaches the space {container.job}")


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream to the space's ssh server."""
    raise NotImplementedError
