"""The policies that sm-proxy needs, one module for each identity.

docs/permissions.md, the template and `sm-proxy infra policy` print what is here. Each statement
says what fails without it; an optional one says what its users do without.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from sm_proxy.infra.policies import admin, bastion, build, job, launcher, user
from sm_proxy.infra.policies.statement import Scope, Statement

PIECES: Final[Mapping[str, ModuleType]] = {
    "user": user,
    "job": job,
    "bastion": bastion,
    "build": build,
    "launcher": launcher,
    "admin": admin,
}
WHO: Final[Mapping[str, str]] = {name: piece.WHO for name, piece in PIECES.items()}
"""Who each piece is for."""
OWN: Final[Mapping[str, str]] = {
    action: source for piece in PIECES.values() for action, source in piece.OWN.items()
}
"""From the actions that AWS checks without a call of ours to the documentation that says so."""


def statements(name: str, scope: Scope, *, minimal: bool = False) -> tuple[Statement, ...]:
    """The statements of a piece; with `minimal` without the optional ones."""
    found: tuple[Statement, ...] = PIECES[name].statements(scope)
    return tuple(item for item in found if not (minimal and item.optional))


def document(name: str, scope: Scope, *, minimal: bool = False) -> dict[str, Any]:
    """The policy document of a piece."""
    rows = [item.as_json() for item in statements(name, scope, minimal=minimal)]
    return {"Version": "2012-10-17", "Statement": rows}


def document_of_stack(name: str, scope: Scope) -> dict[str, Any]:
    """The policy document of a piece as the stack has it."""
    rows = [item.as_json() for item in statements(name, scope) if item.in_stack]
    return {"Version": "2012-10-17", "Statement": rows}


__all__ = [
    "OWN",
    "PIECES",
    "WHO",
    "Scope",
    "Statement",
    "document",
    "document_of_stack",
    "statements",
]
