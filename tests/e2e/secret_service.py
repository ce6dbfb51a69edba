"""A real Secret Service: gnome-keyring with its own D-Bus, both from Debian packages."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sm_proxy_lab.machines import sshd_binary
from tests.waits import await_true, listens

_PACKAGES = [
    *("gnome-keyring", "dbus-daemon", "libgck-1-0", "libgcr-base-3-1", "libgcrypt20", "libcap-ng0"),
    *("libglib2.0-0", "libp11-kit0", "libdbus-1-3", "libexpat1", "libapparmor1", "libaudit1"),
    *("libsystemd0", "libgpg-error0", "libffi8", "libpcre2-8-0"),
]
_PASSWORD = "password of the keyring"
_BUS = """<busconfig><type>session</type><listen>unix:path={path}</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>"""


def _installed(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return the folder with the programs, and the environment that they need."""
    root = sshd_binary.unpacked("gnome-keyring", _PACKAGES)
    libraries = {str(path.parent) for path in root.rglob("lib*.so.*")}
    return root, {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(sorted(libraries)),
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_RUNTIME_DIR": str(folder),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder / 'bus'}",
    }


@contextlib.contextmanager
def unlocked(folder: Path, command: str) -> Iterator[None]:
    """Run a user's `command` that unlocks the keyring in `folder`, and type its password.

    The command may replace the first daemon by another one.
    """
    root, own = _installed(folder)
    words = ["bash", "-c", command.replace("--unlock", "--unlock --foreground")]
    own["PATH"] = f"{root}/usr/bin:{own['PATH']}"
    with subprocess.Popen(words, env=own, stdin=subprocess.PIPE, start_new_session=True) as shell:
        assert shell.stdin is not None
        shell.stdin.write(f"{_PASSWORD}\n".encode())
        shell.stdin.flush()
        try:
            yield
        finally:
            os.killpg(shell.pid, signal.SIGTERM)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Run an unlocked keyring with its files in `folder`; yield the variables for its users."""
    root, own = _installed(folder)
    socket = folder / "bus"
    (folder / "bus.conf").write_text(_BUS.format(path=socket))
    programs: list[subprocess.Popen[bytes]] = []
    try:
        bus = [str(root / "usr/bin/dbus-daemon"), "--nofork", f"--config-file={folder}/bus.conf"]
        programs.append(subprocess.Popen(bus, env=own, stdin=subprocess.DEVNULL))
        await_true(lambda: listens(socket), 60, alive=programs[0])
        daemon = [
            str(root / "usr/bin/gnome-keyring-daemon"),
            *("--foreground", "--unlock", "--components=secrets"),
        ]
        with (folder / "daemon.log").open("wb") as log:
            programs.append(
                subprocess.Popen(daemon, env=own, stdin=subprocess.PIPE, stdout=log, stderr=log)
            )
        assert programs[1].stdin is not None
        programs[1].stdin.write(_PASSWORD.encode())
        programs[1].stdin.close()
        await_true(
            (folder / "data" / "keyrings" / "login.keyring").exists,
            60,
            (folder / "daemon.log").read_text,
            alive=programs[1],
        )
        yield {"DBUS_SESSION_BUS_ADDRESS": own["DBUS_SESSION_BUS_ADDRESS"]}
    finally:
        for program in reversed(programs):
            program.terminate()
            program.wait(60)
