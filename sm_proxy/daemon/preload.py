"""What a connection imports, imported once: every fork of this process shares it."""

from __future__ import annotations

import contextlib
import gc
import importlib
from collections.abc import Callable
from typing import Final

from sm_proxy.aws import botocore_session, lean_botocore, models
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.ssm import dial

_MODULES: Final = (
    "sm_proxy.aws.caller",
    "sm_proxy.aws.credential_failures",
    "sm_proxy.aws.credentials",
    "sm_proxy.aws.models",
    "sm_proxy.aws.vetting",
    "sm_proxy.commands.connect",
    "sm_proxy.daemon.keeper",
    "sm_proxy.daemon.kept",
    "sm_proxy.host_keys.trust_on_first_use",
    "sm_proxy.housekeeping",
    "sm_proxy.jobs.failure",
    "sm_proxy.jobs.search",
    "sm_proxy.local.network_place",
    "sm_proxy.local.prompt",
    "sm_proxy.local.status_line",
    "sm_proxy.local.suggestion",
    "sm_proxy.routes.bastion",
    "sm_proxy.routes.direct",
    "sm_proxy.routes.remote_debug",
    "sm_proxy.routes.space",
    "sm_proxy.routes.ssm_session",
    "sm_proxy.state.connection_log",
    "sm_proxy.tunnel.checked_socket",
    "sm_proxy.tunnel.fallback",
    "sm_proxy.tunnel.host_key_check",
    "sm_proxy.tunnel.stale_address",
)
"""Those that import the rest: the ones that `connect` imports late, or only on some routes."""
_BOTOCORE: Final = (
    "botocore.httpsession",
    "botocore.signers",
)

_SERVICES: Final = ("sagemaker", "logs", "ec2", "ssm")


def preload(prepare: Callable[[], None]) -> None:
    """Import it all, and make the garbage search leave it alone, so that forks share the pages.

    Args:
        prepare: makes what a command line needs.
    """
    gc.disable()
    lean_botocore.import_botocore()  # before a module that would import all of it
    for name in (*_MODULES, *_BOTOCORE):
        importlib.import_module(name)
    prepare()
    _warm_up()
    botocore_session.prepare()
    gc.collect()
    gc.freeze()
    gc.enable()


def _warm_up() -> None:
    """Make the usual clients, which make no call.

    What botocore imports, compiles and reads late is there then.
    """
    models.keep_files()
    aws = Aws(region="us-east-1")
    with contextlib.suppress(SmProxyError):  # a connection reports a broken AWS configuration
        for service in _SERVICES:
            aws.endpoint(service)
        dial.prepare(aws.network)
