"""A real ssh under the policy of users without its optional statements."""

from __future__ import annotations

import pytest

from tests.e2e import accounts
from tests.e2e.labs import Lab
from tests.lab.conftest import needs_debian
from tests.soak import only_in_soak

pytestmark = [pytest.mark.e2e, needs_debian]


@only_in_soak
def test_the_smallest_policy_of_users_leads_to_ssh(lab: Lab) -> None:
    """Who may not look for bastions names one."""
    bastion = lab.environment["SM_PROXY_LAB_BASTION"]
    with accounts.role_with(lab, "user", minimal=True) as keys:
        lab.forget()
        assert lab.ok(lab.host, "true", env={**keys, "SM_PROXY_BASTION": bastion}) == b""
        started = [call for call in lab.calls() if call["operation"] == "StartSession"]
        assert started[-1]["caller"].endswith(":role/user")
        lab.forget()
