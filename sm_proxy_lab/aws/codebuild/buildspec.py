"""Reads a buildspec.

Source: "Build specification reference for CodeBuild" in the CodeBuild user guide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

PHASES: Final = ("install", "pre_build", "build", "post_build")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")


class BuildspecError(Exception):
    """A buildspec cannot be read; the text is the context's message."""


@dataclass(frozen=True)
class Phase:
    """The commands of a phase.

    Attributes:
        commands: they run until one fails.
        last: `finally`: they run in any case.
        on_failure: `ABORT`, `CONTINUE`, or empty.
    """

    commands: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    on_failure: str = ""


@dataclass(frozen=True)
class Buildspec:
    """What a build runs.

    Attributes:
        phases: by name.
        variables: `env.variables`.
        exported: `env.exported-variables`.
        shell: `sh` or `bash`.
    """

    phases: dict[str, Phase]
    variables: dict[str, str] = field(default_factory=dict)
    exported: tuple[str, ...] = ()
    shell: str = "sh"

    @property
    def uses_docker(self) -> bool:
        """Whether a command seems to build an image."""
        commands = (command for phase in self.phases.values() for command in phase.commands)
        return any("docker" in command and "build" in command for command in commands)


def parse(text: str) -> Buildspec:
    """Read a buildspec in YAML or JSON.

    Raises:
        BuildspecError: it is not a valid buildspec.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise BuildspecError(f"YAML_FILE_ERROR: {words}") from None
    if not isinstance(document, dict):
        raise BuildspecError("YAML_FILE_ERROR: mapping values are expected")
    if str(document.get("version")) != "0.2":
        raise BuildspecError(
            "YAML_FILE_ERROR: the lab runs buildspecs of version 0.2, not "
            f"{document.get('version')!r}"
        )
    env = _mapping(document, "env")
    unknown = set(env) - {"variables", "exported-variables", "shell", "git-credential-helper"}
    if unknown:
        raise BuildspecError(f"YAML_FILE_ERROR: the lab does not have env.{min(unknown)}")
    phases = _mapping(document, "phases")
    if not phases:
        raise BuildspecError("YAML_FILE_ERROR: phases are required")
    if wrong := set(phases) - set(PHASES):
        raise BuildspecError(f"YAML_FILE_ERROR: Unknown phase {min(wrong)}")
    exported = tuple(map(str, env.get("exported-variables") or ()))
    if wrong_names := [name for name in exported if not _IDENTIFIER.fullmatch(name)]:
        raise BuildspecError(f"YAML_FILE_ERROR: invalid variable name {wrong_names[0]}")
    return Buildspec(
        {name: _phase(name, content) for name, content in phases.items()},
        {str(k): str(v) for k, v in _mapping(env, "variables").items()},
        exported,
        str(env.get("shell", "sh")),
    )


def _mapping(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name) or {}
    if not isinstance(found, dict):
        raise BuildspecError(f"YAML_FILE_ERROR: {name} is not a mapping")
    return found


def _phase(name: str, content: Any) -> Phase:
    if not isinstance(content, dict):
        raise BuildspecError(f"YAML_FILE_ERROR: phase {name} is not a mapping")
    on_failure = str(content.get("on-failure", ""))
    if on_failure not in {"", "ABORT", "CONTINUE"}:
        raise BuildspecError(f"YAML_FILE_ERROR: invalid on-failure of phase {name}")
    return Phase(_commands(content, "commands"), _commands(content, "finally"), on_failure)


def _commands(content: dict[str, Any], name: str) -> tuple[str, ...]:
    found = content.get(name) or ()
    if isinstance(found, str):
        found = (found,)
    if not all(isinstance(command, (str, int, float)) for command in found):
        raise BuildspecError(f"YAML_FILE_ERROR: Expected {name} to be of string type")
    return tuple(map(str, found))
