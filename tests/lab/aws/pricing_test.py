"""The price list, as a client reads it."""

from __future__ import annotations

import json
from typing import Any

from tests.lab.aws.harness import Lab, refusal


def wanted(**fields: str) -> dict[str, Any]:
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in fields.items()]
    return {"ServiceCode": "AmazonSageMaker", "Filters": filters}


def test_a_training_price_is_found_by_region_and_instance(lab: Lab) -> None:
    pricing = lab.client("pricing")
    fields = {"regionCode": "us-east-1", "instanceName": "ml.m5.xlarge", "component": "Training"}
    (text,) = pricing.get_products(**wanted(**fields))["PriceList"]
    product = json.loads(text)
    assert product["product"]["attributes"]["usagetype"] == "USE1-Train:ml.m5.xlarge"
    (term,) = product["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    assert (dimension["unit"], dimension["pricePerUnit"]) == ("Hrs", {"USD": "0.2300000000"})


def test_prices_are_paged_and_unknown_products_have_no_price(lab: Lab) -> None:
    pricing = lab.client("pricing")
    pages = pricing.get_paginator("get_products").paginate(
        **wanted(regionCode="us-east-1", instanceName="ml.m5.xlarge"),
        PaginationConfig={"PageSize": 3},
    )
    assert [len(page["PriceList"]) for page in pages] == [3, 1]
    for fields in ({"regionCode": "eu-north-1"}, {"instanceName": "ml.nope.large"}, {"no": "x"}):
        assert pricing.get_products(**wanted(**fields))["PriceList"] == []
    assert pricing.get_products(ServiceCode="AmazonEC2")["PriceList"] == []


def test_the_price_list_can_be_out_of_reach(lab: Lab) -> None:
    west = lab.client("pricing", "eu-west-1")
    assert refusal(west.get_products, **wanted())[0] == "NotFoundException"
    lab.control.faults(deny=["pricing:GetProducts"])
    code, words, _ = refusal(lab.client("pricing").get_products, **wanted())
    assert code == "AccessDeniedException"
    assert "perform: pricing:GetProducts on resource" in words
