"""The botocore session of one profile and region, and the timeouts of its clients.

botocore itself is imported on first use: see `clients`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sm_proxy import __version__
from sm_proxy.errors import SmProxyError

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.credentials import Credentials
    from botocore.session import Session

    from sm_proxy.aws.credentials import CredentialProvider
    from sm_proxy.aws.vetting import Vetting

# VS Code gives ssh 15 s, within which an unreachable endpoint must be reported: three attempts of
# 4 s, and botocore's random pauses of up to 1 and 2 s.
_CONNECT_S: Final = 4
_ATTEMPTS: Final = 3
_READ_S: Final = 10
# S3 answers when it has copied a large object, or has all of one that the kernel is still sending.
_READ_LONGER_S: Final = {"s3": 60}


class BotocoreSession:
    """A botocore session with our loader, our credentials and our checks, made on first use.

    Args:
        profile: as for `Aws`.
        region: as for `Aws`.
        credentials: as for `Aws`.
        explain: turns a failure to get credentials into our error.
        terminal: as for `Aws`.
    """

    def __init__(
        self,
        profile: str | None,
        region: str | None,
        credentials: Credentials | None,
        explain: Callable[[Exception], SmProxyError],
        *,
        terminal: bool,
    ) -> None:
        self._profile = profile
        self._region = region
        self._credentials = credentials
        self._explain = explain
        self._terminal = terminal
        self._lock = threading.Lock()
        self._parts: tuple[Session, Vetting, CredentialProvider] | None = None

    def parts(self) -> tuple[Session, Vetting, CredentialProvider]:
        """The session, the checks of its calls, and the source of its credentials."""
        with self._lock:
            if self._parts is None:
                self._parts = self._make()
            return self._parts

    def _make(self) -> tuple[Session, Vetting, CredentialProvider]:
        import botocore.session  # noqa: PLC0415 - slow

        from sm_proxy.aws import models  # noqa: PLC0415 - as above
        from sm_proxy.aws.credentials import CredentialProvider  # noqa: PLC0415 - as above
        from sm_proxy.aws.vetting import Vetting  # noqa: PLC0415 - as above

        session = botocore.session.Session(profile=self._profile)
        if self._region:
            session.set_config_variable("region", self._region)
        session.register_component("data_loader", models.CachedLoader())
        vetting = Vetting(session, self._explain)
        provider = CredentialProvider(session, self._explain, terminal=self._terminal)
        session.register_component("credential_provider", provider)
        if self._credentials:
            session._credentials = self._credentials  # type: ignore[attr-defined] # noqa: SLF001
        return session, vetting, provider


@functools.cache
def config_for(service: str) -> Config:
    """The timeouts and retries of a service's client."""
    from botocore.config import Config  # noqa: PLC0415 - slow

    return Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_LONGER_S.get(service, _READ_S),
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        user_agent_extra=f"sm-proxy/{__version__}",
    )
