"""Credentials of profiles that assume a role: one MFA code, and a session kept in the OS keyring.

botocore assumes the roles, along the whole chain of profiles. This module gives it a prompt that
leaves stdin to ssh, the keyring as its cache, and a lock, so that only one of many concurrent
connections asks. Profiles without a role are left to botocore.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.credentials import (
    Credentials,
    ProcessProvider,
    RefreshableCredentials,
    create_credential_resolver,
)
from botocore.exceptions import ClientError
from botocore.session import Session

from sm_proxy.aws import credential_process, denials
from sm_proxy.errors import SmProxyError

if TYPE_CHECKING:
    from sm_proxy.aws.role_sessions import RoleSessions

_METHOD: Final = "assume-role"
_RENEWED_S: Final = 10
"""A session in use is renewed this many seconds before its end; earlier, the user is asked
twice."""
_TRIES: Final = 3
_CODE: Final = re.compile(r"[0-9]{6}")
"""The pattern of TokenCode in the model of sts:AssumeRole."""
_WRONG_CODE: Final = (denials.WRONG_CODE, "tokenCode")


class CredentialProvider:
    """botocore's `credential_provider` component, for any profile.

    Args:
        session: gives the profile and the settings.
        explain: turns any error into ours.
        terminal: whether to ask for the first code on /dev/tty if stdin is not a terminal.
    """

    def __init__(
        self,
        session: Session,
        explain: Callable[[Exception], Exception],
        *,
        terminal: bool = True,
    ) -> None:
        self._session = session
        self._explain = explain
        self._first = terminal
        self.not_kept = ""
        """Why a new session that needed a code was not kept; empty if it was kept."""

    def load_credentials(self) -> Credentials | None:
        """The credentials, which refresh themselves when they expire; None if there are none.

        Raises:
            SmProxyError: names the operation that was refused, and the command that helps.
        """
        try:
            return self._load()
        except Exception as error:  # noqa: BLE001 - files, programs and services of all kinds
            raise self._explain(error) from None

    def _load(self) -> Credentials | None:
        if not assumes_role(self._session):
            return self._resolver({}).load_credentials()  # type: ignore[no-any-return]
        return RefreshableCredentials.create_from_metadata(
            self._fetch(),
            self._fetch,
            _METHOD,
            advisory_timeout=_RENEWED_S,
            mandatory_timeout=_RENEWED_S,
        )

    def _fetch(self) -> dict[str, str]:
        """The keys of a session, kept or new, as botocore's metadata."""
        from sm_proxy.aws.role_sessions import RoleSessions  # noqa: PLC0415 - only for a role

        # Only the first code: at a renewal, the user's ssh session is on the terminal.
        terminal, self._first = self._first or os.isatty(0), False
        sessions = RoleSessions(self._session)
        with contextlib.suppress(_WouldAskError):
            return self._assumed(sessions, _refuse_to_ask)
        with _locked(sessions):
            sessions.read_again()  # the previous holder of the lock may have asked
            asker = _Asker(self._session, sessions, terminal=terminal)
            found = self._assumed(sessions, asker.ask, asker)
            self.not_kept = sessions.not_kept if asker.has_asked else ""
            return found

    def _assumed(
        self, sessions: RoleSessions, prompter: Any, asker: _Asker | None = None
    ) -> dict[str, str]:
        while True:
            resolver = self._resolver(sessions)
            resolver.get_provider(_METHOD)._prompter = prompter  # noqa: SLF001 - as the AWS CLI does
            try:
                resolver.load_credentials().get_frozen_credentials()
            except ClientError as error:
                if asker is None or not asker.is_wrong_code(error):
                    raise
            else:
                return sessions.metadata()

    def _resolver(self, cache: Any) -> Any:
        region = self._session.get_config_variable("region")
        resolver: Any = create_credential_resolver(self._session, cache=cache, region_name=region)
        # botocore has no option for this: the profile's credential_process, and its source's.
        resolver.get_provider("custom-process")._popen = credential_process.CredentialProcess  # noqa: SLF001
        builder = resolver.get_provider(_METHOD)._profile_provider_builder  # noqa: SLF001
        builder._create_process_provider = self._process_provider  # noqa: SLF001
        return resolver

    def _process_provider(self, profile: str) -> ProcessProvider:
        return ProcessProvider(
            profile, lambda: self._session.full_config, credential_process.CredentialProcess
        )


class _WouldAskError(Exception):
    """There is no saved session, and we must ask for a code."""


def _refuse_to_ask(_: str) -> str:
    raise _WouldAskError


class _Asker:
    """Asks the user for the MFA codes that botocore needs."""

    def __init__(self, session: Session, sessions: RoleSessions, *, terminal: bool) -> None:
        self._session = session
        self._sessions = sessions
        self._terminal = terminal
        self._asked = 0

    def ask(self, question: str) -> str:
        """Ask for a code of six digits, up to three times.

        Raises:
            SmProxyError: there is no way to ask, or no answer was a code.
        """
        from sm_proxy.local import (  # noqa: PLC0415 - once in the life of a session
            prompt,
            secret_store,
        )

        self._asked += 1
        profile = self._session.profile or "default"
        serial = question.removeprefix("Enter MFA code for ").rstrip(": ")
        again = "That code was not accepted. " if self._asked > 1 else ""
        if self._sessions.trouble:
            secret_store.warn_once_without_keyring("a code will be asked for at every connection")
        words = f"{again}MFA code of {serial} (AWS profile {profile}):"
        try:
            code = prompt.ask(words, terminal=self._terminal)
        except prompt.NobodyToAskError as reason:
            raise self._nobody_to_ask(serial, reason) from None
        code = "".join(code.split())  # apps show it in two halves
        if _CODE.fullmatch(code):
            return code
        if self._asked < _TRIES:
            return self.ask(question)
        raise SmProxyError(
            "no-credentials",
            f"the role of AWS profile {profile} needs an MFA code from {serial}: six digits",
            "Try again with the code that the device shows.",
        )

    @property
    def has_asked(self) -> bool:
        """Whether the user was asked."""
        return self._asked > 0

    def is_wrong_code(self, error: ClientError) -> bool:
        """Whether the service refused a code and the user may try again."""
        message = str(error.response.get("Error", {}).get("Message", ""))
        wrong = any(words in message for words in _WRONG_CODE)
        return wrong and 0 < self._asked < _TRIES

    def _nobody_to_ask(self, serial: str, reason: Exception) -> SmProxyError:
        expired = self._sessions.expired
        from sm_proxy.aws.role_sessions import NO_KEYRING  # noqa: PLC0415 - as in `_fetch`
        from sm_proxy.local import secret_store  # noqa: PLC0415 - likewise

        state = "the session has expired and " if expired else ""
        profile = self._session.profile
        login = f"sm-proxy login --profile {shlex.quote(profile)}" if profile else "sm-proxy login"
        hint = f"Type the code once in a terminal: {login}"
        if self._sessions.trouble == NO_KEYRING:
            hint = (
                "Connect from a terminal, or set SSH_ASKPASS. With a keyring, run this once: "
                f"{login}"
            )
        elif self._sessions.trouble:
            hint = f"{secret_store.remedy()}, then type the code once in a terminal: {login}"
        return SmProxyError(
            "expired-credentials" if expired else "no-credentials",
            f"{state}the role of AWS profile {profile or 'default'} needs an MFA code from "
            f"{serial}, and {reason}",
            hint,
        )


def assumes_role(session: Session) -> bool:
    """Whether the profile assumes a role with another profile's keys (not with a web identity).

    Keys in the environment win over a profile that is not named on the command line.
    """
    config = session.get_scoped_config()
    if "role_arn" not in config or "web_identity_token_file" in config:
        return False
    named = session.instance_variables().get("profile") is not None
    return named or not os.environ.get("AWS_ACCESS_KEY_ID")


def login_profile(session: Session) -> str | None:
    """The profile to log in with: the first along `source_profile` that has login settings."""
    profiles: Mapping[str, Any] = session.full_config.get("profiles", {})
    name = first = session.profile
    for _ in range(len(profiles)):
        config = profiles.get(name or "default", {})
        if any(key.startswith(("sso_", "login_")) for key in config):
            return str(name) if name else None
        name = config.get("source_profile", name)
    return str(first) if first else None


@contextlib.contextmanager
def _locked(sessions: RoleSessions) -> Iterator[None]:
    """Hold the lock of a profile, so that its user is asked once.

    Raises:
        SmProxyError: `busy`, another process has asked and got no answer yet.
    """
    from sm_proxy.local import file_lock  # noqa: PLC0415 - only to ask

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock.locked(f"login-{sessions.name[:16]}", what=sessions.what))
        except SmProxyError as error:
            if error.code == "busy":
                raise
        yield  # also without a lock: then each connection asks
