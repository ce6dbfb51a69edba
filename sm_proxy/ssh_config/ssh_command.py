"""The ssh command of our own programs: no config file, all options of our Host block, no prompts.

Code in the job controls ssh's exit status and the text on its stderr. So that text is bounded, and
the reason why our own ProxyCommand failed is never read from it.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs.container import Container
from sm_proxy.settings import Settings, load
from sm_proxy.ssh_config import blocks, our_file

SSH_FAILED: Final = 255
"""ssh's own exit status if it cannot connect, or loses the connection."""
_COMPLAINTS_LIMIT: Final = 64 << 10
_READ: Final = 16 << 10
_LINGER_S: Final = 2.0
"""How long we wait for our ProxyCommand to close stderr after ssh has ended."""


def ssh_command(
    container: Container,
    settings: Settings,
    remote: Sequence[str] = (),
    *,
    flags: Sequence[str] = (),
    options: Sequence[str] = (),
    user: str | None = None,
    proxied: bool = True,
) -> list[str]:
    """The words of an ssh command that reads no config file and asks nothing.

    There is no ControlPath: a persistent master would keep our pipes open.

    Args:
        container: to log in to.
        settings: of this run.
        remote: the command in the container.
        flags: more words before the host name, such as `-s` or `-N`.
        options: lines as in a config file; they win over those of our Host block.
        user: to log in as; None for the container's own.
        proxied: whether ssh starts `sm-proxy connect` to get there; if not, `options` must have
            a ProxyCommand.

    Raises:
        SmProxyError: `missing-dependency`, there is no ssh.
    """
    program = shutil.which("ssh")
    if program is None:
        raise SmProxyError(
            "missing-dependency", "ssh is not on PATH", "Install the OpenSSH client."
        )
    # `connect` also reads config.toml and variables: what an option of this run overrides.
    started = our_file.own_program() if proxied else []
    ours = map(str.strip, blocks.option_lines(settings, started, otherwise=load()))
    kept = (line for line in ours if proxied or not line.startswith("ProxyCommand "))
    lines = ["BatchMode yes", *options, *kept]
    words = [word for line in lines for word in ("-o", line)]
    user = user or container.user or settings.user
    # `--` keeps ssh from reading a host name as an option.
    return [
        *(program, "-F", "none", "-T", "-a", "-x", "-l", user),
        *words,
        *flags,
        *("--", container.host),
        *remote,
    ]


@dataclass
class Complaints:
    """The end of ssh's stderr; a thread reads it, so that ssh never waits for us."""

    stream: IO[bytes] | None
    _kept: bytes = b""
    _reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        """Start the thread."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.stream is None:  # cannot happen: Popen was given pipes
            return
        with contextlib.suppress(OSError), self.stream:  # a socket may be reset
            while data := self.stream.read1(_READ):  # type: ignore[attr-defined]
                self._kept = (self._kept + data)[-_COMPLAINTS_LIMIT:]

    def text(self) -> str:
        """The text, once ssh has ended."""
        self._reader.join(_LINGER_S)
        return self._kept.decode("utf-8", "replace")


def failure(container: Container, complaint: str) -> SmProxyError:
    """The error for an ssh that failed, with the last line of its stderr.

    A container could fake the two texts below. That is harmless: it can also cause both errors.

    Args:
        container: that ssh was to log in to.
        complaint: what ssh wrote to its stderr.
    """
    lines = [line for line in map(printable, complaint.splitlines()) if line]
    if any("IDENTIFICATION HAS CHANGED" in line for line in lines):
        return SmProxyError(
            "host-key-changed",
            f"the host key of {container.host} is not the one "
            + ("in the job's log" if container.host_keys else "pinned on first use"),
            "Another machine may be answering: find out which before you connect.",
        )
    if any("Permission denied" in line for line in lines):
        return SmProxyError(
            "login-refused",
            f"{container.host} refuses your key",
            container.key_advice,
        )
    last = lines[-1] if lines else "it printed no reason"
    return SmProxyError(
        "session-lost", f"ssh to {container.host} failed: {last}", f"Try: ssh -v {container.host}"
    )
