"""Lend our keys to the command, if it would otherwise get others from the same source.

With SSO or a role, each process gets keys of its own, and the endpoint can sign only for keys that
it holds. So the command gets a copy of the AWS config in which its profile asks us for keys, with
`credential_process`, which all SDKs know. They are renewed as long as the command runs. A copy must
hold no secrets: profiles with keys of their own ask us for these as well.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, private_files

_URL: Final = "SM_PROXY_LAUNCH_KEYS_URL"
_SOURCES: Final = frozenset(
    {"assume-role", "assume-role-with-web-identity", "custom-process", "login", "sso"}
)
"""botocore's names of the sources that give each process keys of its own."""
_PROCESS: Final = "credential_process"
_REPLACED: Final = (
    rf"sso_\w+|role_\w+|source_profile|credential_source|{_PROCESS}|external_id|mfa_serial"
    r"|duration_seconds|web_identity_token_file|login_session"
)
"""Settings of a profile that say where its keys come from."""
_ENDPOINTS: Final = "endpoint_url|services"
_STATIC: Final = re.compile(r"aws_(access_key_id|secret_access_key|session_token)", re.IGNORECASE)
_WEB_IDENTITY: Final = "AWS_WEB_IDENTITY_TOKEN_FILE"
"""With this variable, SDKs do not look at the profile."""
_FILES: Final = {
    "AWS_CONFIG_FILE": "config_file",
    "AWS_SHARED_CREDENTIALS_FILE": "credentials_file",
}
"""Variables that name the files of profiles, and botocore's names of these settings."""
_SECTION: Final = re.compile(r"\s*\[\s*(?:profile\s+)?[\"']?(?P<name>[^\]\"']+?)[\"']?\s*\]")
_SETTING: Final = re.compile(r"(?P<name>\w+)\s*[=:]")
_PROGRAM: Final = f"""\
import os, sys, urllib.parse, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
url = "/".join([os.environ["{_URL}"], *(urllib.parse.quote(name, "") for name in sys.argv[1:])])
sys.stdout.write(direct.open(url, timeout=60).read().decode())
"""


@dataclass(frozen=True)
class LentKeys:
    """The keys that a command gets from us.

    Attributes:
        path: of the endpoint, where the command asks for them: a secret of its own. The keys of
            other profiles, which stand in the user's files, are below it.
        variables: for the command's environment, without the URL of `path`.
        aws: whose keys they are.
    """

    path: str
    variables: Mapping[str, str]
    aws: Aws

    def environment(self, variables: Mapping[str, str], server: str) -> dict[str, str]:
        """The command's environment.

        Args:
            variables: as it would be without us.
            server: the URL of our server, without a path.
        """
        kept = {name: value for name, value in variables.items() if name != _WEB_IDENTITY}
        return {**kept, **self.variables, _URL: server + self.path}

    def document(self, below: str) -> bytes | None:
        """What `credential_process` prints; None if there are no such keys.

        Args:
            below: what follows `path` in the request's target.

        Raises:
            SmProxyError: we cannot get keys.
        """
        if not below:
            keys = self.aws.keys()
            expires = getattr(self.aws.session.get_credentials(), "_expiry_time", None)
            return _document(keys.access_key, keys.secret_key, keys.token, expires)
        profiles = self.aws.session.full_config.get("profiles", {})
        static = profiles.get(unquote(below[1:]), {}) if below.startswith("/") else {}
        key_id, secret = static.get("aws_access_key_id"), static.get("aws_secret_access_key")
        if not (key_id and secret):
            return None
        return _document(key_id, secret, static.get("aws_session_token"))


def _document(
    key_id: str | None, secret: str | None, token: str | None, expires: datetime | None = None
) -> bytes:
    found = {
        "Version": 1,
        "AccessKeyId": key_id,
        "SecretAccessKey": secret,
        **({"SessionToken": token} if token else {}),
        **({"Expiration": expires.isoformat()} if expires else {}),
    }
    return json.dumps(found).encode()


def lend(aws: Aws, folder: Path, *, endpoints: bool = True) -> LentKeys | None:
    """Prepare to lend keys; None if the command has the same keys as we anyway, or cannot ask us.

    Args:
        aws: with the profile that the command inherits.
        folder: of our own, for files without secrets, as long as the command runs.
        endpoints: False: the command must not use the endpoints that its profile names.
    """
    profile = aws.profile or "default"
    try:
        aws.keys()
        if aws.credential_source not in _SOURCES:
            if endpoints:
                return None
            profile = ""  # its own keys are the command's, too
        script = folder / "keys.py"
        private_files.write_private(script, _PROGRAM.encode())
        variables = {}
        for variable, setting in _FILES.items():
            text = _read(Path(str(aws.session.get_config_variable(setting))).expanduser())
            if variable != "AWS_CONFIG_FILE" and profile not in _sections(text):
                continue
            copy = folder / setting
            words = [sys.executable, "-I", str(script)]
            changed = asking_us(text, profile, words, endpoints=endpoints)
            private_files.write_private(copy, changed.encode())
            variables[variable] = str(copy)
    except (OSError, UnicodeDecodeError, SmProxyError) as error:
        debug_log.write("keys are not lent", why=type(error).__name__)
        return None
    return LentKeys(f"/{secrets.token_hex(24)}", variables, aws)


def asking_us(text: str, profile: str, words: Sequence[str], *, endpoints: bool = True) -> str:
    """A copy of a file of profiles in which one gets its keys from a program; it has no secrets.

    Profiles with keys of their own get them from the same program, which then has their name as
    an argument. All else stays.

    Args:
        text: of the file.
        profile: the name of the profile, `default` included; empty for none.
        words: the program and its arguments.
        endpoints: False to leave out which endpoints profiles name.
    """
    lines = [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(True)]
    if profile and profile not in _sections(text):
        lines.append("[default]\n" if profile == "default" else f"[profile {profile}]\n")
    return "".join(_lines(lines, profile, words, "" if endpoints else _ENDPOINTS))


def _lines(lines: list[str], profile: str, words: Sequence[str], unwanted: str) -> Iterator[str]:
    static = _sections("".join(lines), with_keys=True)
    replaced, dropping = "", False
    for line in lines:
        if section := _SECTION.match(line):
            name = section["name"]
            replaced = _REPLACED if name == profile else _PROCESS if name in static else ""
            dropping = False
            yield line
            if replaced:
                process = _shell_line([*words, *([] if name == profile else [name])])
                yield f"credential_process = {process}\n"
            continue
        if setting := _SETTING.match(line):
            named = setting["name"].lower()
            patterns = (_STATIC.pattern, replaced, unwanted)
            dropping = any(re.fullmatch(pattern, named) for pattern in patterns)
        # Also a comment may hold keys.
        if not (dropping or _STATIC.search(line)):
            yield line


def _sections(text: str, *, with_keys: bool = False) -> set[str]:
    """The names of the profiles in a file; or of those that have keys of their own in it."""
    found, name = set(), ""
    for line in text.splitlines():
        if section := _SECTION.match(line):
            name = section["name"]
        setting = _SETTING.match(line)
        if not with_keys or (setting and _STATIC.fullmatch(setting["name"])):
            found.add(name)
    return found - {""}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _shell_line(words: Sequence[str]) -> str:
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
