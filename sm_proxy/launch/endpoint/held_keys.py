"""The credentials that a command inherits, found by the access key id of its requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.credentials import ReadOnlyCredentials

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log

_LOOK_AGAIN_S: Final = 5.0
"""Pause between two looks at the user's files for the same unknown id."""


@dataclass(frozen=True)
class Held:
    """Keys that we hold.

    Attributes:
        aws: makes calls with these keys, or with newer ones of the same source.
        keys: as the request used them.
    """

    aws: Aws
    keys: ReadOnlyCredentials


@dataclass
class HeldKeys:
    """Finds keys by their id; threads share it.

    An id stays known when its source gets new keys: the command may use the old ones until they
    expire.

    Attributes:
        sources: the credentials of this run, and those that the command inherits.
        open_profile: makes `Aws` for a profile, None for the one that the environment chooses.
            Each call reads the user's files again.
    """

    sources: Sequence[Aws]
    open_profile: Callable[[str | None], Aws]
    _known: dict[str, Held] = field(default_factory=dict)
    _looked: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, access_key: str) -> Held | None:
        """The keys of that id; None if we do not hold them."""
        with self._lock:
            if access_key not in self._known:
                for aws in self.sources:
                    self._note(aws)
            last = self._looked.get(access_key, float("-inf"))
            if access_key not in self._known and time.monotonic() - last > _LOOK_AGAIN_S:
                self._look_again(access_key)
                self._looked[access_key] = time.monotonic()
            return self._known.get(access_key)

    def _look_again(self, access_key: str) -> None:
        """Read the user's files again: keys there may be new, or belong to another profile."""
        try:
            inherited = self.open_profile(None)
            names = list(_profiles_with(access_key, inherited.session.full_config))
        except Exception as error:  # noqa: BLE001 - parsers of the user's files raise all kinds
            debug_log.write("endpoint: no profiles", why=type(error).__name__)
            return
        for aws in (inherited, *map(self.open_profile, names)):
            self._note(aws)

    def _note(self, aws: Aws) -> None:
        try:
            keys = aws.keys()
        except SmProxyError as error:  # not of the source that the request is signed with, perhaps
            debug_log.write("endpoint: no keys", why=error.code)
            return
        self._known.setdefault(str(keys.access_key), Held(aws, keys))


def _profiles_with(access_key: str, config: Mapping[str, Any]) -> Iterator[str]:
    """The profiles with that static key."""
    for name, profile in config.get("profiles", {}).items():
        if profile.get("aws_access_key_id") == access_key:
            yield name
