"""What each type of resource can do, and what it is given."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Properties = Mapping[str, Any]
"""A resource's properties, with references replaced."""
_LETTERS: Final = string.ascii_uppercase + string.digits


class GoneError(Exception):
    """The resource does not exist, as a service shows by an empty answer."""


@dataclass(frozen=True)
class Made:
    """A resource that exists.

    Attributes:
        id: the physical id, which Ref gives.
        attributes: what Fn::GetAtt gives.
    """

    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Context:
    """Where and for whom a resource is made.

    Attributes:
        client: service -> botocore client with the permissions of the stack's caller.
        stack: the stack's name.
        name: the resource's logical id.
        begun: called as soon as there is something to delete, if more calls follow.
        tags: the tags of the stack.
        marks: CloudFormation's own tags, `aws:cloudformation:...`.
    """

    client: Callable[[str], Any]
    region: str
    partition: str
    stack: str
    name: str
    tags: Mapping[str, str]
    marks: Mapping[str, str]
    begun: Callable[[Made], None] = lambda _: None

    def unique_name(self, longest: int = 255) -> str:
        """A name for a resource that the template does not name."""
        end = "".join(secrets.choice(_LETTERS) for _ in range(12))
        return f"{f'{self.stack}-{self.name}'[: longest - 13]}-{end}"

    def tag_list(self, properties: Properties, *, marked: bool = True) -> list[dict[str, str]]:
        """The tags of a resource as the APIs take them: the stack's, and its own over them.

        Args:
            properties: the resource's; `Tags` is a list of keys and values.
            marked: with CloudFormation's own tags.
        """
        own = {str(item["Key"]): str(item["Value"]) for item in properties.get("Tags", ())}
        tags = {**(self.marks if marked else {}), **self.tags, **own}
        return [{"Key": key, "Value": value} for key, value in tags.items()]


class ResourceType:
    """One type of resource. Its methods make ordinary API calls.

    Attributes:
        in_place: properties that can change without a new resource; see `createOnlyProperties` in
            the schemas of CloudFormation's registry.
        fixed: the other properties that the lab has.
        required: those without which there is no resource; see `required` in these schemas.
    """

    in_place: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()

    def create(self, context: Context, properties: Properties) -> Made:
        """Make a resource.

        Raises:
            botocore.exceptions.ClientError: The service refused.
        """
        raise NotImplementedError

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change the properties of a resource that are in `in_place`.

        Raises:
            botocore.exceptions.ClientError: The service refused.
        """
        raise NotImplementedError

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete a resource.

        Raises:
            botocore.exceptions.ClientError: The service refused.
        """
        raise NotImplementedError

    def read(self, _context: Context, _made: Made, _properties: Properties) -> Properties | None:
        """What the service now has for some properties; None if drift is not detected.

        Raises:
            GoneError: The resource does not exist.
            botocore.exceptions.ClientError: The service refused, perhaps for the same reason.
        """
        return None


def wrong(kind: ResourceType, properties: Properties) -> str | None:
    """What the check of the properties against the type's schema says; None if they are right.

    A property that only the lab does not have is refused, too: else it would have no effect.
    """
    extra = sorted(set(properties) - kind.in_place - kind.fixed)
    found = [f"#: extraneous key [{name}] is not permitted" for name in extra]
    missing = sorted(kind.required - set(properties))
    found += [f"#: required key [{name}] not found" for name in missing]
    return "\n".join(found) or None


def changed(old: Properties, new: Properties) -> set[str]:
    """The properties that differ."""
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}
