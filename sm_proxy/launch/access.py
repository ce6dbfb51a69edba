"""Find other people who may log in to a job: those whom the request already lets in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sm_proxy import public_key
from sm_proxy.launch.request import Ssh

_KEYS: Final = re.compile(r"SM_PROXY_AUTHORIZED_KEY(?:_[0-9]{1,4})?")
"""The variables that container/keys.sh reads. Each line of one may hold a key."""
_SHOWN: Final = 5
"""More keys than these are only counted."""
_WORD: Final = 40


def others_with_access(request: Mapping[str, Any], ssh: Ssh) -> str:
    """One sentence that names others whom the job lets in; empty if there are none.

    A request may be a colleague's, or the copy of a job of theirs: its keys stay.

    Args:
        request: as the user would send it.
        ssh: what is wanted of ssh; its keys are the user's.
    """
    variables = request.get("Environment") or {}
    keys = list(dict.fromkeys(_keys(variables, {public_key.bare(key) for key in ssh.keys})))
    found = keys[:_SHOWN]
    if len(keys) > _SHOWN:
        found.append(f"{len(keys) - _SHOWN} more keys")
    if place := variables.get("SM_PROXY_KEYS_S3"):
        found.append(f"the keys in {place}")
    if not ssh.image_keys and variables.get("SM_PROXY_IMAGE_KEYS") in {"", "yes"}:
        found.append("the keys in the image (SM_PROXY_IMAGE_KEYS)")
    what = ", ".join(found)
    return f"The request's own Environment lets others log in too: {what}" if what else ""


def _keys(variables: Mapping[str, str], own: set[str | None]) -> Iterator[str]:
    """Each key of the variables that is not the user's, with its comment."""
    for name, value in variables.items():
        if not _KEYS.fullmatch(name):
            continue
        for line in value.splitlines():
            key = public_key.bare(line)
            if key and key not in own:
                comment = line.partition(key.split()[1])[2].strip()[:_WORD]
                yield " ".join(filter(None, (public_key.describe(key), comment)))
