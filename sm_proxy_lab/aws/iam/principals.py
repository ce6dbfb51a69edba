"""Who makes a call: the holder of its access key.

There are sessions of the account's roles, and users of moto's IAM with access keys. Any other key
belongs to the lab's caller, who is an administrator.
"""

from __future__ import annotations

import secrets
import string
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab import account
from sm_proxy_lab.aws.http.call import ACCOUNT, LAB_CALLER
from sm_proxy_lab.aws.http.identity import Identity, Keys
from sm_proxy_lab.machines import role_credentials

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_LETTERS: Final = string.ascii_uppercase + "234567"
_OF_SAGEMAKER: Final = "SageMaker"
"""The name of the sessions that SageMaker begins."""


class Principals:
    """The holders of access keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[Keys, Identity]] = {}
        self.begin(role_credentials.ARN)

    def assume(
        self, role: str, name: str, policies: tuple[str, ...] = (), *, may_all: bool = False
    ) -> Keys:
        """Begin a session of a role, for a caller whom the role trusts.

        Args:
            role: the role's ARN.
            name: of the session.
            policies: JSON documents that narrow it.
            may_all: whether the holder is an administrator, whatever the role's policies are.
        """
        key = "ASIA" + "".join(secrets.choice(_LETTERS) for _ in range(16))
        keys = Keys(key, secrets.token_urlsafe(30), secrets.token_urlsafe(60))
        self._keep(keys, Identity(_arn(role, name), "" if may_all else role, name, policies))
        return keys

    def begin(self, role: str) -> None:
        """Accept the keys that jobs with this role have: SageMaker assumes it."""
        keys = Keys(**role_credentials.keys_of(role))
        self._keep(keys, Identity(_arn(role, _OF_SAGEMAKER), role, _OF_SAGEMAKER))

    def _keep(self, keys: Keys, identity: Identity) -> None:
        with self._lock:
            self._sessions[keys.access_key] = keys, identity

    def of(self, call: Call) -> Identity:
        """Who makes a call."""
        held = self._sessions.get(call.access_key or "")
        if held:
            return held[1]
        user = _user(call)
        if user is None:
            return Identity(LAB_CALLER.format(partition=call.partition))
        return Identity(user.arn, user.arn, user.name)

    def keys(self, call: Call) -> Keys | None:
        """The credentials with the call's access key; None if the key is unknown."""
        held = self._sessions.get(call.access_key or "")
        if held:
            return held[0]
        if call.access_key == account.ACCESS_KEY:
            return Keys(account.ACCESS_KEY, account.SECRET_KEY, None)
        user = _user(call)
        for key in user.access_keys if user else ():
            if key.access_key_id == call.access_key:
                return Keys(key.access_key_id, key.secret_access_key, None)
        return None


def _arn(role: str, session: str) -> str:
    """The ARN of a role's session, which has no path."""
    _, partition, _, _, owner, path = role.split(":", 5)
    return f"arn:{partition}:sts::{owner}:assumed-role/{path.rpartition('/')[2]}/{session}"


def _user(call: Call) -> Any | None:
    """The user of moto's IAM who has an access key.

    Moto's IAM is not loaded for this: before its first call it has no keys.
    """
    models = sys.modules.get("moto.iam.models")
    if models is None or not (call.access_key or "").startswith("AKIA"):
        return None
    backend = models.iam_backends[ACCOUNT][call.partition]
    found = backend.access_keys.get(call.access_key)
    return backend.users.get(found.user_name) if found else None
