"""The data that a connection hands to the keeper of the session it starts.

It has secrets: the session's token, the keys and the environment. They go over a socket pair, from
memory to memory.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from typing import Any

from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.ssm.api import Grant


@dataclass(frozen=True, repr=False)
class Handover:
    """A session that was just granted.

    Attributes:
        grant: of StartSession.
        request: what it was asked for.
        keys: for further calls; see `aws/handed_keys.py`.
        profile: of the settings.
        region: of the settings.
        scope: of the record that a later run uses to end the session (`Aws.scope`).
        environment: of the connection: endpoints, proxies, and where new keys come from.
        folder: in which the connection was started; relative paths begin there.
        through: what messages call the target; see `Session.through`.
        payload_limit: the largest message to try, in bytes.
        keep_s: how long to keep the session without a stream, in seconds.
        ahead: whether it is for the next connection, while this one lasts.
        key: of the session from now on, if the first one does not tell whose keys these are.
    """

    grant: Grant
    request: SessionRequest
    keys: dict[str, str | None]
    profile: str | None
    region: str | None
    scope: str
    environment: dict[str, str]
    folder: str
    through: str
    payload_limit: int
    keep_s: int
    ahead: bool = False
    key: str = ""

    def message(self) -> dict[str, Any]:
        """As a message."""
        return {"handover": asdict(self)}

    @classmethod
    def of(cls, message: dict[str, Any]) -> Handover:
        """The one in a message of the same version."""
        found = dict(message["handover"])
        grant, request = Grant(**found.pop("grant")), SessionRequest(**found.pop("request"))
        return cls(grant, request, **found)

    def take_up(self) -> None:
        """Give this process the environment of the connection."""
        os.environ.clear()
        os.environ.update(self.environment)
        os.environ.pop("SSH_ASKPASS", None)  # a keeper never prompts
        with contextlib.suppress(OSError):
            os.chdir(self.folder)


def folder() -> str:
    """The folder that this process works in; `/` if that is gone."""
    with contextlib.suppress(OSError):
        return os.getcwd()  # noqa: PTH109 - raises where the folder is gone
    return os.sep
