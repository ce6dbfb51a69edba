"""The route to a node of a HyperPod cluster: what is known about its sshd."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import session
from sm_proxy.doctor.routes import RouteChecks

CHECKS: Final = RouteChecks(examine_for_job=(("node-sshd", session.sshd),))
