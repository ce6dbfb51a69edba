"""A report to attach to a bug report: one text file, readable only by its owner, no secrets."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from sm_proxy import __version__, error_handler
from sm_proxy.doctor import laptop
from sm_proxy.doctor.check import Context, Finding
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, private_files
from sm_proxy.local.redaction import redact
from sm_proxy.state import connection_log

_TAIL_BYTES: Final = 64 << 10
_ERRORS: Final = 20
_SECRET_NAME: Final = re.compile(r"SECRET|TOKEN|PASSWORD|PASSPHRASE", re.IGNORECASE)
_SECRET_LENGTH: Final = 8
_LOGIN: Final = re.compile(r"(?:(?<=://)|^(?!\w+://))\S+(?=@)")
"""User and password in a proxy's address; the scheme is optional, a password may contain `@`."""
_ACCOUNT: Final = re.compile(r"\b\d{12}\b")
_ACCESS_KEY: Final = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}")


def write(path: Path, context: Context, findings: Sequence[Finding]) -> None:
    """Write the report.

    Raises:
        SmProxyError: `config-read-only`, it cannot be written there.
    """
    text = "\n".join(f"## {title}\n{body}\n" for title, body in _parts(context, findings))
    content = clean(text).encode("utf-8", "replace")
    try:
        if private_files.exists(path) and not private_files.is_regular(path) and not path.is_dir():
            path.write_bytes(content)  # /dev/stdout must stay a device
        else:
            private_files.ensure_private_dir(path.parent)
            private_files.write_whole(path, content)
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"{path} cannot be written: {error.strerror or error}",
            "Name another file.",
        ) from None


def clean(text: str) -> str:
    """`text` without secrets, account numbers, access keys, home folder and user name."""
    for name, value in os.environ.items():
        if len(value) >= _SECRET_LENGTH and _SECRET_NAME.search(name):
            text = text.replace(value, "<secret>")
    # Redact the whole text first: a secret may be broken over several lines.
    lines = (redact(line) for line in redact(text).splitlines())
    cleaned = _ACCOUNT.sub("<account>", _ACCESS_KEY.sub("<access key>", "\n".join(lines)))
    for home in sorted(_homes(), key=len, reverse=True):
        cleaned = cleaned.replace(home, "~")
    user = _user()
    return cleaned if user == "root" else re.sub(rf"\b{re.escape(user)}\b", "<user>", cleaned)


def _homes() -> set[str]:
    """The user's home folder as ssh and as $HOME name it, if there is one."""
    found = set()
    for home in (paths.ssh_home, Path.home):
        with contextlib.suppress(RuntimeError):  # neither a passwd entry nor $HOME
            found.add(str(home()))
    return found - {"/"}


def _user() -> str:
    """The user's name, or the user id if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        return str(os.getuid())


def _parts(context: Context, findings: Sequence[Finding]) -> list[tuple[str, str]]:
    state = paths.state_dir()
    config = ["-F", str(context.ssh_config)] if context.ssh_config else []
    host = context.host or f"{context.settings.prefix}doctor"
    versions = f"sm-proxy {__version__}\nPython {platform.python_version()}\n{platform.platform()}"
    return [
        ("versions", versions),
        ("checks", json.dumps([item.as_data() for item in findings], indent=1)),
        ("ssh -G", laptop.run(["ssh", *config, "-G", host]).stdout),
        ("our ssh config", _tail(context.settings.ssh_config_file)),
        ("environment", _environment()),
        ("connections", _connections(context.host)),
        ("last errors", "\n".join(map(json.dumps, error_handler.last_errors()[-_ERRORS:]))),
        ("debug.log", _tail(state / "debug.log")),
    ]


def _environment() -> str:
    """The variables that affect us, without secret values."""
    return "\n".join(
        f"{name}={'<secret>' if _SECRET_NAME.search(name) else _LOGIN.sub('<login>', value)}"
        for name, value in sorted(os.environ.items())
        if name.startswith(("AWS_", "SM_PROXY_")) or name.lower().endswith("_proxy")
    )


def _connections(host: str | None) -> str:
    """The log of the host's connections."""
    if host is None:
        return "(no host was given)"
    records = connection_log.recent(host)[:_ERRORS]
    return "\n".join(json.dumps(asdict(record)) for record in records) or "(none recorded)"


def _tail(path: Path) -> str:
    if private_files.exists(path) and not private_files.is_regular(path):
        return "(not a regular file)"
    try:
        return path.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
    except OSError as error:
        return f"({error.strerror})"
