"""The route to a Studio space. The session is the service's, so nobody may resume or end it."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import session
from sm_proxy.doctor.routes import RouteChecks

CHECKS: Final = RouteChecks(find=(("botocore", session.botocore),), own_sessions=False)
