"""The botocore session of one profile and region, and the timeouts of its clients.

botocore itself is imported on first use: see `clients`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

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
# Presigned URLs of some regions would otherwise have a signature of version 2, which KMS refuses.
_SIGNATURES: Final = {"s3": "s3v4"}


_prepared: list[Session] = []


def prepare() -> None:
    """Make a botocore session ahead of its use, for forks of this process.

    Most of its time goes into the names of 130 event handlers. Of the environment it reads one
    variable, which is read again when it is used.
    """
    from sm_proxy.aws import lean_botocore  # noqa: PLC0415 - slow

    _prepared.append(lean_botocore.new_session())


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
        from sm_proxy.aws import lean_botocore  # noqa: PLC0415 - slow

        lean_botocore.import_botocore()  # before a module that would import all of it
        from sm_proxy.aws import models  # noqa: PLC0415 - as above
        from sm_proxy.aws.credentials import CredentialProvider  # noqa: PLC0415 - as above
        from sm_proxy.aws.vetting import Vetting  # noqa: PLC0415 - as above

        session = _take_prepared(self._profile) or lean_botocore.new_session(self._profile)
        if self._region:
            session.set_config_variable("region", self._region)
        session.register_component("data_loader", models.CachedLoader())
        vetting = Vetting(session, self._explain)
        provider = CredentialProvider(session, self._explain, terminal=self._terminal)
        session.register_component("credential_provider", provider)
        if self._credentials:
            session._credentials = self._credentials  # type: ignore[attr-defined] # noqa: SLF001
        return session, vetting, provider


def _take_prepared(profile: str | None) -> Session | None:
    if not _prepared:
        return None
    session: Any = _prepared.pop()
    if profile is not None:
        session.set_config_variable("profile", profile)
    session._register_user_agent_creator()  # noqa: SLF001 - it reads AWS_EXECUTION_ENV
    return session  # type: ignore[no-any-return]


@functools.cache
def config_for(service: str, attempts: int | None = None) -> Config:
    """The timeouts and retries of a service's client.

    Args:
        service: botocore's name.
        attempts: how often a call is made at most; None for the usual number.
    """
    from botocore.config import Config  # noqa: PLC0415 - slow

    return Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_LONGER_S.get(service, _READ_S),
        retries={"mode": "standard", "total_max_attempts": attempts or _ATTEMPTS},
        user_agent_extra=f"sm-proxy/{__version__}",
        signature_version=_SIGNATURES.get(service),
    )
