"""`aws`, as far as a build of CodeBuild needs it.

It is version 2, which has no `ecr get-login`. The first argument is the file that the lab has
written for this build.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import urllib.parse
from pathlib import Path
from typing import Final

from sm_proxy_lab.image_build import ecr
from sm_proxy_lab.image_build.ecr import CallError

_VERSION: Final = "aws-cli/2.17.0 Python/3.11.8 Linux/5.10 exe/x86_64 (a stand-in of the lab)"
_USAGE: Final = "usage: aws [options] <command> <subcommand> [<subcommand> ...] [parameters]"
_INVALID: Final = 252
_REFUSED: Final = 254
_NAMED: Final = {"--region": "AWS_REGION", "--output": "AWS_DEFAULT_OUTPUT", "--query": "_QUERY"}


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    file, *words = sys.argv[1:] if argv is None else argv
    if words == ["--version"]:
        return _say(_VERSION)
    told = json.loads(Path(file).read_text(encoding="utf-8"))
    given = {"AWS_REGION": os.environ.get("AWS_REGION", "us-east-1")}
    rest = iter(words)
    plain = []
    for word in rest:
        name, eq, value = word.partition("=")
        if name in _NAMED:
            given[_NAMED[name]] = value if eq else next(rest, "")
        else:
            plain.append(word)
    try:
        if plain == ["ecr", "get-login-password"]:
            return _say(_password(told["endpoint"], given["AWS_REGION"]))
        if plain == ["sts", "get-caller-identity"]:
            return _say(_identity(told["endpoint"], given))
    except CallError as error:
        operation = {"ecr": "GetAuthorizationToken", "sts": "GetCallerIdentity"}[plain[0]]
        sys.stderr.write(
            f"\nAn error occurred ({error.code}) when calling the {operation} operation: {error}\n"
        )
        return _REFUSED
    wrong = next((word for word in plain[1:] if not word.startswith("-")), "")
    sys.stderr.write(
        f"{_USAGE}\n\naws: error: argument operation: Invalid choice: {wrong!r}; the lab's "
        "stand-in has `ecr get-login-password` and `sts get-caller-identity`\n"
    )
    return _INVALID


def _password(endpoint: str, region: str) -> str:
    target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    answer = ecr.call(endpoint, "ecr", region, target, {})
    token = answer["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")[2]


def _identity(endpoint: str, given: dict[str, str]) -> str:
    form = urllib.parse.urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
    text = ecr.query(endpoint, "sts", given["AWS_REGION"], form.encode()).decode()
    names = ("UserId", "Account", "Arn")
    matches = {name: re.search(f"<{name}>(.*?)</{name}>", text) for name in names}
    found = {name: str(match[1]) if match else "" for name, match in matches.items()}
    if "_QUERY" in given:
        value = found.get(given["_QUERY"], "None")
        return value if given.get("AWS_DEFAULT_OUTPUT") == "text" else json.dumps(value)
    return json.dumps(found, indent=4)


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
