"""Tags of EC2's resources, and the types of which nothing else changes in place."""

from __future__ import annotations

from typing import Any

from sm_proxy_lab.aws.cloudformation.resource_type import Context, Made, Properties, ResourceType


def specification(context: Context, kind: str, properties: Properties) -> list[dict[str, Any]]:
    """`TagSpecifications` of a new resource; `kind` is EC2's word for its type."""
    tags = context.tag_list(properties)
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


def update(context: Context, made: Made, old: Properties, new: Properties) -> None:
    """Change the tags of a resource, if its property `Tags` has changed."""
    before, after = old.get("Tags", []), new.get("Tags", [])
    if before == after:
        return
    ec2 = context.client("ec2")
    kept = {tag["Key"] for tag in after}
    if gone := [{"Key": tag["Key"]} for tag in before if tag["Key"] not in kept]:
        ec2.delete_tags(Resources=[made.id], Tags=gone)
    if after:
        ec2.create_tags(Resources=[made.id], Tags=after)


class OnlyTagsChange(ResourceType):
    """A type of which only tags change in place."""

    in_place = frozenset({"Tags"})

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change tags."""
        update(context, made, old, new)
        return made
