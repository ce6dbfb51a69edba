"""Who makes a call, and the credentials that prove it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """The credentials of a role's session; those of a user have no token."""

    access_key: str
    secret_key: str
    token: str | None


@dataclass(frozen=True)
class Identity:
    """Who makes a call.

    Attributes:
        arn: as GetCallerIdentity tells it.
        entity: the ARN of the role or the user whose policies count; empty for the administrator.
        name: of the session, or of the user.
        policies: JSON documents that narrow the session.
    """

    arn: str
    entity: str = ""
    name: str = "lab"
    policies: tuple[str, ...] = ()

    @property
    def is_user(self) -> bool:
        """Whether this is an IAM user, and no session of a role."""
        return ":user/" in self.entity
