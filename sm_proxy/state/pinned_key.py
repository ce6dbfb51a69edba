"""Files with a host key that was trusted on first use; any other key is refused later."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import permissions, private_files
from sm_proxy.public_key import is_public_key

_KEY_LIMIT: Final = 1 << 14


def read(path: Path) -> str | None:
    """The key `"type base64"` in a file; None if there is no such file, or no key in it.

    Raises:
        SmProxyError: `host-key-unknown`, others could have written it.
    """
    try:
        private_files.refuse_shared(path.parent)
        key = private_files.read_own(path, _KEY_LIMIT).decode("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise SmProxyError(
            "host-key-unknown",
            f"the pinned host key {path} cannot be trusted: {error.strerror or error}",
            "Delete it to trust on first use again.",
        ) from None
    return key if is_public_key(key) else None


def write(path: Path, key: str) -> None:
    """Keep a key.

    Raises:
        SmProxyError: `config-read-only` or `bad-permissions`.
    """
    try:
        private_files.write_private(path, key.encode())
    except private_files.NotOursError as error:
        raise permissions.not_ours(error, path, "SM_PROXY_STATE_DIR") from None
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"the host key cannot be pinned in {path}: {error.strerror or error}",
            "Make its folder writable, or name another folder with SM_PROXY_STATE_DIR.",
        ) from None
