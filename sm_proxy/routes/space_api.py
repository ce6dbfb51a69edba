"""The API calls of a session to a Studio space: SageMaker starts it, in place of Session Manager.

The session itself is one of Session Manager, whose node belongs to the service. Its documented
policies for users allow neither ResumeSession nor TerminateSession (SageMaker guide, "Remote
access"), so both are expected to be denied: a session that was cut is over, and it is ended by the
data channel's own flag.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, private_files
from sm_proxy.routes import sessions
from sm_proxy.routes.session_api import SsmApi
from sm_proxy.ssm.handshake import SessionType
from sm_proxy.ssm.session import FinalError, Grant

_SERVICE: Final = "sagemaker"
_REMEMBERED_S: Final = 24 * 3600.0
"""How long we remember that a session cannot be resumed, in seconds."""
_LOST: Final = "the connection was lost, and SageMaker's sessions cannot be resumed"


class SpaceApi(SsmApi):
    """The calls of a session whose request's target is the ARN of a space."""

    @property
    def session_type(self) -> SessionType:
        """One plain stream, as AWS-StartSSHSession gives it."""
        return "Port"

    def start(self) -> Grant:
        """sagemaker:StartSession.

        The caller repeats it while the space registers, so botocore does not. A call that got no
        answer is made once more.
        """
        try:
            return self._granted(self._start_again_if_unanswered())
        except ServiceError as error:
            raise self._explain(error) from None
        except SmProxyError as error:
            raise self._denied(error) if error.code == "access-denied" else error from None

    def resume(self, session_id: str) -> Grant | None:
        """ResumeSession, unless it was denied before.

        Raises:
            FinalError: the session cannot be resumed.
        """
        if self._is_known_to_fail():
            raise _over()
        try:
            grant = super().resume(session_id)
        except FinalError:
            self._remember()
            grant = None
        if grant is None:
            raise _over()
        return grant

    def terminate(self, session_id: str) -> None:
        """TerminateSession. If it is denied, no later run tries it again."""
        try:
            super().terminate(session_id)
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            sessions.SESSIONS.over(session_id)

    def _start_again_if_unanswered(self) -> dict[str, Any]:
        asked = {"ResourceIdentifier": self._request.target}
        try:
            return self._aws.call_once(_SERVICE, "StartSession", **asked)
        except SmProxyError as error:
            if error.code != "network":
                raise
        return self._aws.call_once(_SERVICE, "StartSession", **asked)

    def _denied(self, error: SmProxyError) -> SmProxyError:
        return SmProxyError(
            error.code,
            error.message,
            f"{error.hint} The resource is {self._request.target}. In a domain of SageMaker "
            "Unified Studio, use the credentials of the role of the project.",
        )

    @property
    def _note(self) -> Path:
        """The file that exists once ResumeSession was denied for this space."""
        name = hashlib.sha256(f"{self._aws.scope}\0{self._request.target}".encode()).hexdigest()
        return paths.cache_dir() / "no-resume" / name[:32]

    def _is_known_to_fail(self) -> bool:
        """Without a network, a connection then ends at once: ssh does not hang for two minutes."""
        with contextlib.suppress(OSError):
            return time.time() - self._note.lstat().st_mtime < _REMEMBERED_S
        return False

    def _remember(self) -> None:
        with contextlib.suppress(OSError):
            private_files.write_private(self._note, b"")


def _over() -> FinalError:
    return FinalError(SmProxyError("session-lost", _LOST, "Connect again."))
