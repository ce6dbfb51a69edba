"""`infra delete` removes the stack, but nothing that somebody uses."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import config_file
from sm_proxy.settings import sources
from tests.commands.helpers import answer
from tests.infra.account import NAMED, Account
from tests.infra.fake_cloudformation import OUTPUTS

Captured = pytest.CaptureFixture[str]
BUILD = {"Key": "build/a.zip", "VersionId": "v", "Size": 7}
REPOSITORY = {"repositoryName": "train", "repositoryArn": "arn:train"}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Account:
    found = Account(monkeypatch)
    found.deployed()
    capsys.readouterr()
    return found


def with_images(account: Account, stack: str = "sm-proxy") -> None:
    role = {"Key": "sm-proxy:role", "Value": "image"}
    account.answers["DescribeRepositories"] = {"repositories": [REPOSITORY]}
    account.answers["ListTagsForResource"] = {
        "tags": [role, {"Key": "sm-proxy:stack", "Value": stack}]
    }
    account.answers["DescribeImages"] = {"imageDetails": [{"imageSizeInBytes": 2_000_000}]}
    account.answers["DeleteRepository"] = {}


def called(account: Account, name: str) -> list[dict[str, Any]]:
    return [given for operation, given in account.aws.calls if operation == name]


def last_line(capsys: Captured) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_the_stack_its_bucket_and_the_network_in_config_toml_go(
    account: Account, capsys: Captured
) -> None:
    assert "[launch]" in sources.config_file().read_text()
    account.answers["ListObjectVersions"] = {"Versions": [BUILD]}
    assert account.infra("delete", reply="yes") == 0
    assert account.asked == ["Delete it? It cannot be brought back."]
    (emptied,) = called(account, "DeleteObjects")
    assert emptied["Bucket"] == OUTPUTS["Bucket"]
    names = [name for name, _ in account.aws.calls]
    assert names.index("DeleteObjects") < names.index("DeleteStack")
    assert account.cloud.status == "DELETE_COMPLETE"
    assert "[launch]" not in sources.config_file().read_text()
    shown = capsys.readouterr()
    assert "will be deleted: the stack sm-proxy in account 111122223333, eu-west-1" in shown.err
    assert "with build/ (1 object, 7 B)" in shown.err
    assert "Vpc DELETE_COMPLETE" in shown.err
    assert shown.out.startswith("the stack sm-proxy is deleted\n")


def test_nothing_goes_without_a_yes(account: Account, capsys: Captured) -> None:
    assert account.infra("delete", reply="no") == 1
    assert capsys.readouterr().out == "nothing was deleted\n"
    assert account.infra("delete") == 2
    assert "add --yes" in last_line(capsys)
    assert called(account, "DeleteStack") == []


def test_without_a_stack_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert Account(monkeypatch).infra("delete", "--json") == 0
    assert answer(capsys)["data"] == {
        "stack": "sm-proxy",
        "deleted": False,
        "images": [],
        "config_changed": False,
    }


def test_jobs_in_the_subnets_are_named_before_anything_is_done(
    account: Account, capsys: Captured
) -> None:
    account.run_job("bert")
    assert account.infra("delete", "--yes") == 1
    line = last_line(capsys)
    assert "in-use: jobs run in the subnets of the stack sm-proxy: training job bert" in line
    assert "`sm-proxy stop sm-bert`" in line
    assert "run `sm-proxy infra delete` again" in line
    assert called(account, "DeleteStack") == []
    assert account.infra("delete", "--yes", "--images", "--with-data") == 1
    assert "run `sm-proxy infra delete --with-data --images` again" in last_line(capsys)


def test_other_network_interfaces_are_named(account: Account, capsys: Captured) -> None:
    account.answers["DescribeNetworkInterfaces"] = {
        "NetworkInterfaces": [
            {"NetworkInterfaceId": "eni-bastion", "Attachment": {"InstanceId": "i-1"}},
            {"NetworkInterfaceId": "eni-9", "Attachment": {"InstanceId": "i-9"}},
        ]
    }
    assert account.infra("delete", "--yes") == 1
    line = last_line(capsys)
    assert "in-use" in line
    assert "eni-9 (of i-9)" in line
    assert "eni-bastion" not in line


def test_data_of_the_user_stays_unless_it_is_meant(account: Account, capsys: Captured) -> None:
    account.answers["ListObjectVersions"] = {
        "Versions": [BUILD, {"Key": "models/m", "VersionId": "v", "Size": 1}]
    }
    assert account.infra("delete", "--yes") == 1
    assert "in-use" in (line := last_line(capsys))
    assert "models/ (1 object, 1 B)" in line
    assert called(account, "DeleteObjects") == []
    assert account.infra("delete", "--yes", "--with-data") == 0
    assert len(called(account, "DeleteObjects")[0]["Delete"]["Objects"]) == 2


def test_images_stay_and_are_named_unless_they_are_meant(
    account: Account, capsys: Captured
) -> None:
    with_images(account)
    assert account.infra("delete", "--yes") == 0
    shown = capsys.readouterr().out
    assert "what stays: the repositories train (1 image, 2.0 MB)" in shown
    assert "sm-proxy infra delete --images" in shown
    assert account.infra("delete", "--yes", "--images", "--json") == 0  # the stack is gone by now
    assert called(account, "DeleteRepository") == [{"repositoryName": "train", "force": True}]
    (image,) = answer(capsys)["data"]["images"]
    expected = {"repository": "train", "stack": "sm-proxy", "images": 1, "bytes": 2_000_000}
    assert image == {**expected, "deleted": True}


def test_images_of_another_stack_stay(account: Account, capsys: Captured) -> None:
    with_images(account, "second")
    assert account.infra("delete", "--yes", "--images") == 0
    assert called(account, "DeleteRepository") == []
    shown = capsys.readouterr().out
    assert "what stays: the repositories train (1 image, 2.0 MB) of the stack second" in shown
    assert "--images" not in shown


def test_a_deletion_that_fails_says_why_and_goes_on_when_called_again(
    account: Account, capsys: Captured
) -> None:
    account.cloud.faults = {"delete:JobGroup": "resource sg-job has a dependent object"}
    assert account.infra("delete", "--yes") == 1
    line = last_line(capsys)
    assert "stack-failed: JobGroup (AWS::EC2::SecurityGroup)" in line
    assert "dependent object" in line
    account.cloud.faults = {}
    assert account.infra("delete", "--yes") == 0
    assert account.cloud.status == "DELETE_COMPLETE"


def test_a_deletion_that_runs_is_shown_on(account: Account, capsys: Captured) -> None:
    account.cloud.held = True
    assert account.infra("delete", "--yes", "--timeout", "30") == 1
    assert "wait-timeout" in (line := last_line(capsys))
    assert "`sm-proxy infra delete`" in line
    account.cloud.held = False
    assert account.infra("delete") == 0  # not asked: it has begun
    assert "its events follow" in capsys.readouterr().err
    assert called(account, "DeleteStack") == []


def test_a_deletion_begun_elsewhere_takes_no_data_and_no_images_unasked(
    account: Account, capsys: Captured
) -> None:
    with_images(account)
    account.cloud.held = True
    account.infra("delete", "--yes", "--timeout", "0")
    account.answers["ListObjectVersions"] = {"Versions": [{"Key": "models/m", "VersionId": "v"}]}
    assert account.infra("delete") == 1
    assert "in-use: the bucket" in last_line(capsys)
    account.answers["ListObjectVersions"] = {}
    assert account.infra("delete", "--images", reply="no") == 1
    assert "will be deleted: the repository train" in capsys.readouterr().err
    assert called(account, "DeleteRepository") == called(account, "DeleteObjects") == []


def test_config_toml_forgets_a_network_whose_deletion_is_not_watched_to_its_end(
    account: Account, capsys: Captured
) -> None:
    account.cloud.held = True
    assert account.infra("delete", "--yes", "--timeout", "0") == 1
    assert "wait-timeout" in last_line(capsys)
    assert "[launch]" not in sources.config_file().read_text()


def test_a_config_toml_that_cannot_be_edited_stops_no_deletion(
    account: Account, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> bool:
        raise SmProxyError("config-read-only", "it cannot be written", "Delete [launch] by hand.")

    monkeypatch.setattr(config_file, "remove_launch", refuse)
    assert account.infra("delete", "--yes") == 0
    assert account.cloud.status == "DELETE_COMPLETE"
    assert "it cannot be written. Delete [launch] by hand." in capsys.readouterr().err


def test_an_update_is_waited_for_and_a_creation_is_not(account: Account, capsys: Captured) -> None:
    account.infra("pause", "--timeout", "0")
    assert account.cloud.status == "UPDATE_IN_PROGRESS"
    assert account.infra("delete", "--yes") == 0
    assert "UPDATE_IN_PROGRESS: waiting for that first" in capsys.readouterr().err
    account.infra("deploy", *NAMED, "--yes", "--timeout", "0")
    assert account.cloud.status == "CREATE_IN_PROGRESS"
    assert account.infra("delete", "--yes") == 0
    assert account.cloud.status == "DELETE_COMPLETE"
    assert "waiting for that first" not in capsys.readouterr().err


def test_the_rest_of_a_failed_creation_can_be_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = Account(monkeypatch)
    account.cloud.faults = {"Bucket": "no"}
    account.infra("deploy", *NAMED, "--yes")
    assert account.cloud.status == "ROLLBACK_COMPLETE"
    assert account.infra("delete", "--yes") == 0


def test_a_stack_that_is_not_ours_is_left_alone(account: Account, capsys: Captured) -> None:
    account.cloud.tags = []
    account.cloud.template = {**account.cloud.template, "Metadata": {}}
    assert account.infra("delete", "--yes") == 1
    assert "in-use: sm-proxy has not made the stack sm-proxy" in last_line(capsys)


def test_in_an_existing_vpc_only_what_has_our_groups_is_in_the_way(
    account: Account, capsys: Captured
) -> None:
    resources = account.cloud.template["Resources"]
    kept = {name: item for name, item in resources.items() if not item["Type"].endswith("Subnet")}
    account.cloud.template = {**account.cloud.template, "Resources": kept}
    account.run_job("bert")
    assert account.infra("delete", "--yes") == 0
    asked = [given["Filters"][0]["Name"] for given in called(account, "DescribeNetworkInterfaces")]
    assert asked == ["group-id"]
