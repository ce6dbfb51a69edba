"""Projects of CodeBuild."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.resource_type import Context, Made, Properties, ResourceType

_WORDS: Final = {"BuildSpec": "buildspec"}
"""Names that differ from the API's in more than their first letter."""


class Project(ResourceType):
    """AWS::CodeBuild::Project."""

    in_place = frozenset(
        {
            *("Artifacts", "Cache", "ConcurrentBuildLimit", "Description", "EncryptionKey"),
            *("Environment", "LogsConfig", "QueuedTimeoutInMinutes", "ServiceRole", "Source"),
            *("Tags", "TimeoutInMinutes", "VpcConfig"),
        }
    )
    fixed = frozenset({"Name"})
    required = frozenset({"Artifacts", "Environment", "ServiceRole", "Source"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it."""
        given = {"Name": context.unique_name(), **properties}
        made = context.client("codebuild").create_project(**self._request(context, given))
        project = made["project"]
        return Made(project["name"], {"Arn": project["arn"], "Id": project["name"]})

    def update(self, context: Context, made: Made, _old: Properties, new: Properties) -> Made:
        """Change it."""
        given = {**new, "Name": made.id}
        context.client("codebuild").update_project(**self._request(context, given))
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        context.client("codebuild").delete_project(name=made.id)

    @staticmethod
    def _request(context: Context, properties: Properties) -> dict[str, Any]:
        request: dict[str, Any] = _lower(properties)
        tags = context.tag_list(properties, marked=False)
        request["tags"] = [{"key": tag["Key"], "value": tag["Value"]} for tag in tags]
        return request


def _lower(value: Any) -> Any:
    """Properties with the names of CodeBuild's API, which begin with a small letter."""
    if isinstance(value, list):
        return [_lower(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        _WORDS.get(name, name[:1].lower() + name[1:]): _lower(item) for name, item in value.items()
    }
