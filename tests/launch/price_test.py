"""What a job costs an hour: the price list first, a dated table next, never a guess."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import price
from sm_proxy.local import paths
from tests.fakes import FakeAws

DENIED = SmProxyError("access-denied", "pricing:GetProducts is denied", "Allow it.")


def product(usage: str, usd: str, unit: str = "Hrs", term: str = "OnDemand") -> str:
    """As GetProducts gives it, without the parts that are not read."""
    dimensions = {"S.T.R": {"unit": unit, "pricePerUnit": {"USD": usd}}}
    return json.dumps(
        {
            "product": {
                "productFamily": "ML Instance",
                "attributes": {"instanceName": "ml.m5.xlarge", "usagetype": usage},
            },
            "terms": {term: {"S.T": {"priceDimensions": dimensions}}},
        }
    )


def job(kind: str = "ml.m5.xlarge", count: int = 1, **changes: Any) -> dict[str, Any]:
    return {"ResourceConfig": {"InstanceType": kind, "InstanceCount": count}, **changes}


def aws_with(*products: str) -> FakeAws:
    return FakeAws(GetProducts={"PriceList": list(products)})


TRAIN = product("EU-Train:ml.m5.xlarge", "0.2570000000")


def test_the_price_list_tells_the_price_of_all_instances() -> None:
    aws = aws_with(TRAIN)
    assert price.per_hour(aws, "training", job(count=4)) == "about $1.03 an hour"
    ((_, asked),) = aws.calls
    assert asked["ServiceCode"] == "AmazonSageMaker"
    assert {item["Field"]: item["Value"] for item in asked["Filters"]} == {
        "regionCode": "eu-west-1",
        "instanceName": "ml.m5.xlarge",
    }


def test_a_price_is_remembered_for_a_day() -> None:
    price.per_hour(aws_with(TRAIN), "training", job())
    silent = FakeAws()
    assert price.per_hour(silent, "training", job()) == "about $0.26 an hour"
    assert silent.calls == []


@pytest.mark.parametrize(
    "other",
    [
        product("EU-Host:ml.m5.xlarge", "0.2"),
        product("EU-Train:ml.m5.xlarge.more", "0.2"),
        product("EU-TrainingPlanUpfrontFee:ml.m5.xlarge", "13.57", "Quantity"),
        product("EU-Train:ml.m5.xlarge", "0.2", "Quantity"),
        product("EU-Train:ml.m5.xlarge", "0.0000000000"),
        product("EU-Train:ml.m5.xlarge", "0.2", term="Reserved"),
        product("EU-Cluster-Train:ml.m5.xlarge", "0.2"),
    ],
)
def test_other_products_of_the_same_instance_do_not_count(other: str) -> None:
    assert price.per_hour(aws_with(other), "training", job()) == price.UNKNOWN
    assert price.per_hour(aws_with(other, TRAIN), "training", job("ml.x")) == price.UNKNOWN


def test_a_processing_job_has_its_own_price() -> None:
    request = {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}
        }
    }
    listed = aws_with(TRAIN, product("EU-Processing:ml.m5.xlarge", "0.30"))
    assert price.per_hour(listed, "processing", request) == "about $0.60 an hour"


def test_two_prices_are_not_clear() -> None:
    listed = aws_with(TRAIN, product("Train:ml.m5.xlarge", "0.40"))
    assert price.per_hour(listed, "training", job()) == price.UNKNOWN


def test_instance_groups_are_added_up() -> None:
    groups = [
        {"InstanceGroupName": "a", "InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "b", "InstanceType": "ml.m5.xlarge", "InstanceCount": 3},
    ]
    request = {"ResourceConfig": {"InstanceGroups": groups}}
    assert price.per_hour(aws_with(TRAIN), "training", request) == "about $1.03 an hour"
    groups.append({"InstanceGroupName": "c", "InstanceType": "ml.z.xlarge", "InstanceCount": 1})
    assert price.per_hour(aws_with(TRAIN), "training", request) == price.UNKNOWN


def test_a_spot_job_costs_at_most_that() -> None:
    request = job(EnableManagedSpotTraining=True)
    assert price.per_hour(aws_with(TRAIN), "training", request) == "at most about $0.26 an hour"


NO_ANSWER: dict[str, Any] = {
    "denied": DENIED,
    "refused": ServiceError("InternalErrorException", "x", "pricing:GetProducts"),
    "no network": SmProxyError("network", "x", "y"),
    "empty": {"PriceList": []},
    "damaged": {"PriceList": ["?"]},
    "other shape": {"PriceList": ["[]"]},
}


@pytest.mark.parametrize("case", NO_ANSWER)
def test_without_the_price_list_the_dated_table_is_used(case: str) -> None:
    aws = FakeAws(GetProducts=NO_ANSWER[case]).in_region("us-east-1")
    found = price.per_hour(aws, "training", job("ml.g5.2xlarge", 2))
    assert found == "about $3.03 an hour (list price of 2026-09-25)"
    other = {"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.g6e.xlarge"}}}
    assert price.per_hour(aws, "processing", other) == price.UNKNOWN
    assert price.per_hour(aws, "training", job("ml.no.such")) == price.UNKNOWN


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "no-such-region-9"])
def test_a_region_without_price_list_is_not_asked_for(region: str) -> None:
    aws = FakeAws()
    assert price.per_hour(aws.in_region(region), "training", job()) == price.UNKNOWN
    assert aws.calls == []


def test_the_users_own_table_replaces_ours() -> None:
    paths.config_dir().mkdir(parents=True, exist_ok=True)
    row = {"region": "eu-west-1", "kind": "training", "date": "2030-01", "usd_an_hour": {"ml.x": 2}}
    table = paths.config_dir() / "prices.json"
    table.write_text(json.dumps({"prices": [row]}))
    aws = FakeAws(GetProducts=DENIED)
    found = price.per_hour(aws, "training", job("ml.x"))
    assert found == "about $2.00 an hour (list price of 2030-01)"
    damaged = [{**row, "usd_an_hour": {"ml.x": usd}} for usd in (math.nan, math.inf, -1, "x")]
    for text in ("{", "[" * 100_000, *(json.dumps({"prices": [bad]}) for bad in damaged)):
        table.write_text(text)
        assert price.per_hour(aws, "training", job("ml.x")) == price.UNKNOWN


@pytest.mark.parametrize("request_", [{}, {"ResourceConfig": {}}, {"ResourceConfig": None}])
def test_a_request_without_instances_has_no_price(request_: dict[str, Any]) -> None:
    assert price.per_hour(FakeAws(), "training", request_) == price.UNKNOWN
    assert price.per_hour(FakeAws(), "transform", request_) == price.UNKNOWN


def test_our_table_is_well_formed() -> None:
    table = json.loads((Path(price.__file__).parent / "prices.json").read_text())
    for row in table["prices"]:
        assert row["kind"] in {"training", "processing"}
        assert row["date"].startswith("20")
        assert all(0.01 < usd < 500 for usd in row["usd_an_hour"].values())


def test_a_silent_price_list_delays_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price, "_PATIENCE_S", 0.05)
    answers = threading.Event()

    def late(**_: Any) -> Any:
        answers.wait(60)
        return {"PriceList": [TRAIN]}

    groups = [
        {"InstanceGroupName": str(n), "InstanceType": f"ml.g5.{n}xlarge", "InstanceCount": 1}
        for n in (2, 4)
    ]
    asked = FakeAws(GetProducts=late).in_region("us-east-1")
    before = time.monotonic()
    try:
        found = price.per_hour(asked, "training", {"ResourceConfig": {"InstanceGroups": groups}})
        assert time.monotonic() - before < 30
    finally:
        answers.set()
    assert "an hour (list price of" in found


def test_no_job_waits_longer_than_3_s_for_its_price() -> None:
    assert price._PATIENCE_S <= 3
