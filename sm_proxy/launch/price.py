"""The price of a job for an hour: by AWS's price list, else by a dated table, else unknown.

A wrong price is worse than none: where an answer is not clear, the price is unknown.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import shapes
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import value_at
from sm_proxy.launch.shapes import Shape
from sm_proxy.local import debug_log, paths
from sm_proxy.local.threads import Background
from sm_proxy.state.cache import Cache

UNKNOWN: Final = "price unknown"
_LISTED_IN: Final = "us-east-1"
"""The price list of all commercial regions is read there. Others have none that we could ask."""
_PARTITION: Final = "aws"
_TABLE: Final = "prices.json"
_NO_ANSWER: Final = (ServiceError, SmProxyError, BotoCoreError)
_DAMAGED: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_CACHED_S: Final = 24 * 3600.0
_RETRIED_S: Final = 3600.0
"""Seconds until a price list that did not answer is asked again."""
_PATIENCE_S: Final = 3.0
"""A job does not wait longer for its price. A late answer is kept for the next time."""


@dataclass(frozen=True)
class Price:
    """A price of an hour.

    Attributes:
        usd: in US dollars.
        date: of the table that it comes from, `2026-08-17`; empty if AWS's price list has just
            answered.
    """

    usd: float
    date: str = ""


def per_hour(aws: Caller, kind: str, request: Mapping[str, Any]) -> str:
    """The price of a job in words: `about $1.23 an hour`, or `price unknown`; within 3 seconds.

    Args:
        aws: for the call; it needs pricing:GetProducts.
        kind: of the job; only of those that can be launched a price is known.
        request: of the job, or its description: both have the same fields.
    """
    operation = shapes.creating(kind)
    if operation is None:
        return UNKNOWN
    shape = shapes.of(operation)
    nodes = _nodes(value_at(request, shape.RESOURCES) or {})
    deadline = time.monotonic() + _PATIENCE_S
    asked = {name: Background(partial(_listed_price, aws, shape, name)) for name in nodes}
    found: list[tuple[Price | None, int]] = []
    for name, count in nodes.items():
        usd = asked[name].settled(max(0.0, deadline - time.monotonic()))
        listed = next(_in_table(shape.KIND, aws.region, name), None) if usd is None else Price(usd)
        found.append((listed, count))
    known = [(price, count) for price, count in found if price is not None]
    if not known or len(known) < len(nodes):
        return UNKNOWN
    total = sum(price.usd * count for price, count in known)
    dates = sorted({price.date for price, _ in known} - {""})
    spot = "at most " if request.get("EnableManagedSpotTraining") else ""
    return f"{spot}about ${total:.2f} an hour{f' (list price of {dates[0]})' if dates else ''}"


def _nodes(resources: Mapping[str, Any]) -> dict[str, int]:
    """How many instances of each type a job has; empty if its request does not tell."""
    nodes: dict[str, int] = {}
    for group in resources.get("InstanceGroups") or [resources]:
        if name := group.get("InstanceType"):
            nodes[str(name)] = nodes.get(str(name), 0) + int(group.get("InstanceCount", 1))
    return nodes


def _listed_price(aws: Caller, shape: Shape, instance_type: str) -> float | None:
    """The price from AWS's price list, or a cached one."""
    cache, key = Cache("prices"), (aws.scope, shape.KIND, instance_type)
    record = cache.load(*key)
    if record is None:
        usd = _listed(aws, shape, instance_type)
        record = {"usd": usd}
        kept = _CACHED_S if usd is not None else _RETRIED_S
        cache.save(*key, record=record, expires=time.time() + kept)
    usd = record.get("usd")
    return float(usd) if isinstance(usd, int | float) else None


def _listed(aws: Caller, shape: Shape, instance_type: str) -> float | None:
    """The price in AWS's price list; None without a clear answer."""
    wanted = {"regionCode": aws.region, "instanceName": instance_type}
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
    try:
        if aws.session.get_partition_for_region(aws.region) != _PARTITION:
            return None
        answer = aws.in_region(_LISTED_IN).call(
            "pricing", "GetProducts", ServiceCode="AmazonSageMaker", Filters=filters
        )
        prices = {
            price
            for item in answer.get("PriceList", [])
            for price in _prices(json.loads(item), shape, instance_type)
        }
    except (*_NO_ANSWER, *_DAMAGED) as error:
        debug_log.write("the price list does not tell", why=error)
        return None
    return prices.pop() if len(prices) == 1 else None


def _prices(product: dict[str, Any], shape: Shape, instance_type: str) -> Iterator[float]:
    """The prices of an hour in a product of the list; none if it is another kind of product.

    One instance type has products for hosting, notebooks, clusters and fees of training plans too.
    """
    usage = str(product.get("product", {}).get("attributes", {}).get("usagetype", ""))
    if not re.fullmatch(rf"(?:[A-Z0-9]+-)?{shape.USAGE}:{re.escape(instance_type)}", usage):
        return
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            usd = float(dimension.get("pricePerUnit", {}).get("USD", 0))
            if dimension.get("unit") == "Hrs" and usd > 0:
                yield usd


def _in_table(kind: str, region: str, instance_type: str) -> Iterator[Price]:
    """The prices in the user's table, or in ours; a damaged table has none."""
    own = paths.config_dir() / _TABLE
    table = own if own.exists() else Path(__file__).with_name(_TABLE)
    try:
        for row in json.loads(table.read_text(encoding="utf-8"))["prices"]:
            if (
                (row["region"], row["kind"]) == (region, kind)
                and (usd := float(row["usd_an_hour"].get(instance_type) or 0)) > 0
                and math.isfinite(usd)
            ):
                yield Price(usd, str(row["date"]))
    except (OSError, *_DAMAGED) as error:
        debug_log.write("the table of prices is damaged", file=table, why=repr(error))
