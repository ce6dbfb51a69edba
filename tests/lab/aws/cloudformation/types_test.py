"""The properties of the lab's resource types, compared with CloudFormation's own schemas."""

from __future__ import annotations

from sm_proxy_lab.aws.cloudformation.types import TYPES
from tests.infra.schemas import schemas

MOVED = {"AWS::EC2::SubnetRouteTableAssociation": {"RouteTableId"}}
"""What changes in place here: see the class."""


def test_types_have_the_properties_that_cloudformation_has_and_replace_as_it_does() -> None:
    found = schemas(TYPES)
    assert found.keys() == TYPES.keys()
    for kind, schema in found.items():
        listed = schema.get("createOnlyProperties", [])
        replacing = {path.removeprefix("/properties/") for path in listed}
        ours = TYPES[kind]
        assert ours.in_place & replacing == MOVED.get(kind, set()), kind
        assert ours.in_place | ours.fixed <= schema["properties"].keys(), kind
        assert set(schema.get("required", [])) <= ours.required, kind
