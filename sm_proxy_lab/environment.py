"""CMD's environment, ssh config and key."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from sm_proxy_lab import ssh_programs
from sm_proxy_lab.account import ACCESS_KEY, REGION, SECRET_KEY
from sm_proxy_lab.errors import LabError
from sm_proxy_lab.python import python_module

# With these, our commands would use the user's own files and keyrings.
_DROPPED = {"VSCODE_PORTABLE", "DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND"}
# Settings for the lab and for logging: they are not about the user's real jobs.
_KEPT = {"SM_PROXY_LOG", "SM_PROXY_SSHD", "SM_PROXY_LAB_TOOLS"}


def base(folder: Path, endpoint: str, *, mode: str) -> dict[str, str]:
    """Return the caller's environment with the AWS and sm-proxy variables of the lab.

    Args:
        folder: the lab's folder; settings, cache and state are below it.
        endpoint: URL of the AWS endpoint.
        mode: the network mode.
    """
    environment = _of_the_caller()
    config = str(folder / "ssh" / "config")
    local = "127.0.0.1,localhost"
    environment |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT_ENDPOINT": endpoint,  # for the tunnels' websockets
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The laptop's network is real: its packets to a container would leave this machine.
        "SM_PROXY_PROBE": "0",
        # Each connection does its own work, and nothing outlives it, unless CMD asks for that.
        "SM_PROXY_DAEMON_IDLE": "0",
        "SM_PROXY_KEEP_SESSION": "0",
        "AWS_CONFIG_FILE": str(folder / "aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws" / "credentials"),
        "SM_PROXY_CONFIG_DIR": str(folder / "config"),
        "SM_PROXY_CACHE_DIR": str(folder / "cache"),
        "SM_PROXY_STATE_DIR": str(folder / "state"),
        "SM_PROXY_LAB_CONTROL": f"{endpoint}/_lab/",
        "SM_PROXY_SSH_DIR": str(folder / "ssh" / "sm-proxy"),
        "SM_PROXY_SSH_CONFIG": config,
        "SM_PROXY_LAB_SSH_CONFIG": config,
        "PATH": ssh_programs.write(folder, config, environment.get("PATH", os.defpath)),
        "VSCODE_APPDATA": str(folder / "editors"),  # where editors look for user settings
        "SM_PROXY_LAB_NETWORK": mode,
        "SM_PROXY_LAB_CALLS": str(folder / "calls.jsonl"),
        "SM_PROXY_LAB_SESSIONS": str(folder / "sessions"),
        # As in a terminal. At 0, or without it, bash takes ssh's ProxyCommand for a remote login
        # (its stdin is a socket), and reads the user's ~/.bashrc.
        "SHLVL": max("1", environment.get("SHLVL", "")),
    }
    for name in ("NO_PROXY", "no_proxy"):
        others = environment.get(name, "")
        environment[name] = f"{local},{others}" if others else local
    if mode == "loopback":
        environment["SM_PROXY_ALLOW_LOOPBACK"] = "1"
    return environment


def _of_the_caller() -> dict[str, str]:
    """The caller's environment, without what is about real jobs and the user's own files."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not (name.startswith(("AWS_", "SM_PROXY_")) or name in _DROPPED)
    }


def exports(callers: dict[str, str], environment: dict[str, str]) -> str:
    """Return shell commands that turn the caller's environment into `environment`."""
    gone = [name for name in callers if name not in environment]
    lines = [f"unset {name}" for name in sorted(gone) if name.isidentifier()]
    for name, value in sorted(environment.items()):
        if callers.get(name) != value:
            lines.append(f"export {name}={shlex.quote(value)}")
    return "\n".join(lines)


def write_ssh_config(environment: dict[str, str], user: str) -> dict[str, str]:
    """Let the client write its ssh config and key; return the variables for the job's environment.

    Raises:
        LabError: the client failed.
    """
    config = environment["SM_PROXY_LAB_SSH_CONFIG"]
    _client(environment, "config", "write", "--ssh-config", config, "--user", user)
    public = Path(config).parent / "sm-proxy" / "id_ed25519.pub"
    return {"SM_PROXY_AUTHORIZED_KEY": public.read_text(encoding="ascii").strip()}


def _client(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [*python_module("sm_proxy"), *words],
        # The lab's folder is removed even if the client is killed: put temporary files there.
        env={**environment, "TMPDIR": str(Path(environment["SM_PROXY_LAB_CALLS"]).parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"sm-proxy {words[0]} {words[1]}: {done.stderr.strip()[-500:]}")
    return done.stdout
