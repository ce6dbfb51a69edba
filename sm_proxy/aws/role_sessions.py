"""Sessions of assumed roles in the OS keyring, as the cache that botocore asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from botocore.session import Session

from sm_proxy.aws import network
from sm_proxy.local import secret_values

NO_KEYRING: Final = "there is none"
_MARGIN: Final = timedelta(seconds=60)
"""We do not use a saved session with less time left: the calls of one connection take seconds."""
_BOTOCORE_WINDOW: Final = timedelta(minutes=15)
"""botocore treats a session with less time left as expired, and some sessions last no longer."""


class RoleSessions:
    """The mapping in which botocore caches assumed roles; the keyring is opened on first use.

    botocore ignores a session in its last quarter of an hour. So this cache reports an end that is
    almost a quarter of an hour too late; `metadata` has the true end.
    """

    def __init__(self, session: Session) -> None:
        self.name = _digest(session.profile or "default", *network.endpoint_variables())
        self.expired = False
        self.not_kept = ""
        self._profile = session.profile or "default"
        self.what = f"AWS profile {self._profile}, whose MFA code it asks for"
        self._known: dict[str, dict[str, Any]] = {}
        self._missing: set[str] = set()
        self._latest: dict[str, Any] = {}
        self._opened = False
        self._store: Any = None

    @property
    def trouble(self) -> str:
        """Why sessions are not kept; empty if the keyring works."""
        from sm_proxy.local import secret_store  # noqa: PLC0415 - only for profiles with a role

        there = self._secret_store() is not None
        return secret_store.trouble() or ("" if there else NO_KEYRING)

    def read_again(self) -> None:
        """Look up missing sessions again: another process may have saved them."""
        self._missing.clear()

    def metadata(self) -> dict[str, str]:
        """The session that botocore uses, as its metadata, with the true end."""
        found = self._latest
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": _text_of(found["Expiration"]),
        }

    def __contains__(self, key: str) -> bool:
        """Whether there is a session with enough time left."""
        if key not in self._known and key not in self._missing:
            self._load(key)
        return key in self._known

    def __getitem__(self, key: str) -> dict[str, Any]:
        """The response of AssumeRole, with a later end: see the class."""
        found = self._latest = self._known[key]
        end = _time_of(found["Expiration"]) + _BOTOCORE_WINDOW - _MARGIN
        return {"Credentials": {**found, "Expiration": end.isoformat()}}

    def __setitem__(self, key: str, response: Mapping[str, Any]) -> None:
        """Save the response of AssumeRole in the keyring."""
        given = response["Credentials"]
        self._latest = self._known[key] = {**given, "Expiration": _text_of(given["Expiration"])}
        store = self._secret_store()
        kept = store is not None and store.save(self._item(key), json.dumps(self._latest))
        self.not_kept = "" if kept else self.trouble or "it does not accept the session"

    def _load(self, key: str) -> None:
        store = self._secret_store()
        found = _credentials(store.load(self._item(key))) if store else None
        secret_values.keep_fields(found)
        if found and _time_of(found["Expiration"]) - _MARGIN > datetime.now(timezone.utc):
            self._known[key] = found
            return
        self.expired = self.expired or found is not None
        self._missing.add(key)

    def _item(self, key: str) -> str:
        return f"{self._profile} {_digest(key, self.name)}"

    def _secret_store(self) -> Any:
        if not self._opened:
            from sm_proxy.local import secret_store  # noqa: PLC0415 - only for profiles with a role

            self._opened, self._store = True, secret_store.find()
        return self._store


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _credentials(text: str | None) -> dict[str, Any] | None:
    """The credentials in a keyring item; None if it is damaged."""
    try:
        found = json.loads(text or "")
        _time_of(found["Expiration"])
        whole = all(
            isinstance(found[name], str)
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if whole else None


def _text_of(moment: datetime | str) -> str:
    return moment if isinstance(moment, str) else moment.isoformat()


def _time_of(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
