"""Lend our keys to the command, if it would otherwise get others from the same source.

With SSO or a role, each process gets keys of its own, and the endpoint can sign only for keys that
it holds. So the command gets a copy of the AWS config in which its profile asks us for keys, with
`credential_process`, which all SDKs know. They are renewed as long as the command runs.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.session import Session

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, private_files

_URL: Final = "SM_PROXY_LAUNCH_KEYS_URL"
_SOURCES: Final = frozenset(
    {"assume-role", "assume-role-with-web-identity", "custom-process", "login", "sso"}
)
"""botocore's names of the sources that give each process keys of its own."""
_REPLACED: Final = re.compile(
    r"sso_\w+|role_\w+|source_profile|credential_source|credential_process|external_id|mfa_serial"
    r"|duration_seconds|web_identity_token_file|login_session"
)
"""Settings of a profile that say where its keys come from."""
_STATIC: Final = re.compile(r"aws_(access_key_id|secret_access_key|session_token)")
_OF_ENVIRONMENT: Final = "AWS_WEB_IDENTITY_TOKEN_FILE"
"""With this variable, SDKs do not look at the profile."""
_SECTION: Final = re.compile(r"\s*\[\s*(?:profile\s+)?[\"']?(?P<name>[^\]\"']+?)[\"']?\s*\]")
_SETTING: Final = re.compile(r"(?P<name>\w+)\s*=")
_PROGRAM: Final = f"""\
import os, sys, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
sys.stdout.write(direct.open(os.environ["{_URL}"], timeout=60).read().decode())
"""


@dataclass(frozen=True)
class LentKeys:
    """The keys that a command gets from us.

    Attributes:
        path: of the endpoint, where the command asks for them: a secret of its own.
        variables: for the command's environment, without the URL of `path`.
        aws: whose keys they are.
    """

    path: str
    variables: Mapping[str, str]
    aws: Aws

    def environment(self, server: str) -> dict[str, str]:
        """Variables for the command's environment.

        Args:
            server: the URL of our server, without a path.
        """
        return {**self.variables, _URL: server + self.path}

    def document(self) -> bytes:
        """What `credential_process` prints.

        Raises:
            SmProxyError: we cannot get keys.
        """
        keys = self.aws.keys()
        expires = getattr(self.aws.session.get_credentials(), "_expiry_time", None)
        found = {
            "Version": 1,
            "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key,
            **({"SessionToken": keys.token} if keys.token else {}),
            **({"Expiration": expires.isoformat()} if expires else {}),
        }
        return json.dumps(found).encode()


def lend(aws: Aws, folder: Path) -> LentKeys | None:
    """Prepare to lend keys; None if the command has the same keys as we anyway, or cannot ask us.

    Args:
        aws: with the profile that the command inherits.
        folder: of our own, for files without secrets, as long as the command runs.
    """
    profile = aws.profile or "default"
    try:
        aws.keys()
        if aws.credential_source not in _SOURCES or os.environ.get(_OF_ENVIRONMENT):
            return None
        text = _config_file(aws.session).read_text(encoding="utf-8")
        # A copy must hold no secrets. And keys in the credentials file would win over ours.
        if _STATIC.search(text) or _is_in_other_file(aws.session, profile):
            return None
        script, config = folder / "keys.py", folder / "config"
        private_files.write_private(script, _PROGRAM.encode())
        words = [sys.executable, "-I", str(script)]
        process = subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
        private_files.write_private(config, asking_us(text, profile, process).encode())
    except (OSError, UnicodeDecodeError, configparser.Error, SmProxyError) as error:
        debug_log.write("keys are not lent", why=type(error).__name__)
        return None
    return LentKeys(f"/{secrets.token_hex(24)}", {"AWS_CONFIG_FILE": str(config)}, aws)


def asking_us(text: str, profile: str, process: str) -> str:
    """An AWS config in which one profile gets its keys from `process`; all else stays.

    Args:
        text: of the config file.
        profile: the name of the profile, `default` included.
        process: the command that prints keys.
    """
    return "".join(_lines(text.splitlines(keepends=True), profile, process))


def _lines(lines: list[str], profile: str, process: str) -> Iterator[str]:
    inside = dropping = False
    for line in lines:
        if section := _SECTION.match(line):
            inside = section["name"] == profile
            dropping = False
            yield line if line.endswith("\n") else f"{line}\n"
            if inside:
                yield f"credential_process = {process}\n"
            continue
        if inside and (setting := _SETTING.match(line)):
            dropping = _REPLACED.fullmatch(setting["name"].lower()) is not None
        if not (inside and dropping):
            yield line


def _config_file(session: Session) -> Path:
    return Path(str(session.get_config_variable("config_file"))).expanduser()


def _is_in_other_file(session: Session, profile: str) -> bool:
    """Whether the credentials file says something about the keys of a profile."""
    path = Path(str(session.get_config_variable("credentials_file"))).expanduser()
    parser = configparser.RawConfigParser()
    parser.read(path, encoding="utf-8")
    found: Any = parser[profile] if parser.has_section(profile) else {}
    return any(_REPLACED.fullmatch(name) or _STATIC.fullmatch(name) for name in found)
