"""The price list: some of SageMaker's prices, in the form of AWS's own list.

The prices are of 2026 where public sources name them. They are the lab's: never show them as AWS's.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws import page_tokens
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sm_proxy_lab.aws.http.call import Call

REGIONS: Final = {"us-east-1", "eu-central-1", "ap-south-1"}
"""Only these have an endpoint of the price list."""
_SERVICE: Final = "AmazonSageMaker"
_PLACES: Final = {
    "us-east-1": ("USE1", "US East (N. Virginia)", 1.0),
    "eu-west-1": ("EU", "Europe (Ireland)", 1.1),
}
"""Region -> prefix of its usage types, its name, and the lab's factor for its prices."""
_COMPONENTS: Final = {
    "Training": ("Train", 1.0),
    "Processing": ("Processing", 1.0),
    "Hosting": ("Host", 1.0),
    "Notebook": ("Notebk", 1.5),  # on AWS they may differ too: a client must not mix them up
}
_TYPES: Final = {
    "ml.m5.large": (2, "8 GiB", 0.115),
    "ml.m5.xlarge": (4, "16 GiB", 0.23),
    "ml.m5.2xlarge": (8, "32 GiB", 0.461),
    "ml.g4dn.xlarge": (4, "16 GiB", 0.736),
    "ml.g5.2xlarge": (8, "32 GiB", 1.515),
}
_PAGE: Final = 100
# Codes of the offer terms, the same for all products on demand.
_TERM, _RATE = "JRTCKXETXF", "6YS6EN2CT7"


def get_products(call: Call) -> dict[str, Any]:
    """Answer GetProducts: each product is a JSON text of its own.

    Raises:
        AwsError: The region has no price list, or a filter or the token is not valid.
    """
    if call.region not in REGIONS:
        # AWS has no such host at all, so no client can get this answer there.
        message = f"The price list has no endpoint in {call.region}."
        raise AwsError("NotFoundException", message)
    filters = call.params.get("Filters", [])
    if any(wanted["Type"] != "TERM_MATCH" for wanted in filters):
        raise AwsError("InvalidParameterException", "The lab has TERM_MATCH only.")
    found = [
        json.dumps(product, separators=(",", ":"))
        for product in (_products() if call.params["ServiceCode"] == _SERVICE else ())
        if all(_fits(product, wanted) for wanted in filters)
    ]
    invalid = AwsError("InvalidNextTokenException", "The next token is not valid.")
    size = min(call.params.get("MaxResults", _PAGE), _PAGE)
    shown, token = page_tokens.page(found, call.params.get("NextToken"), size, invalid)
    answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": list(shown)}
    return answer | ({"NextToken": token} if token else {})


def _fits(product: dict[str, Any], wanted: dict[str, str]) -> bool:
    attributes = product["product"]["attributes"]
    value = attributes.get(wanted["Field"], product["product"].get(wanted["Field"]))
    return isinstance(value, str) and value.lower() == wanted["Value"].lower()


def _products() -> Iterator[dict[str, Any]]:
    for region in _PLACES:
        for component in _COMPONENTS:
            for name in _TYPES:
                yield _product(region, component, name)


def _product(region: str, component: str, name: str) -> dict[str, Any]:
    prefix, location, factor = _PLACES[region]
    word, markup = _COMPONENTS[component]
    cpus, memory, base = _TYPES[name]
    usage = f"{prefix}-{word}:{name}"
    sku = hashlib.sha256(usage.encode()).hexdigest()[:16].upper()
    offer, price = f"{sku}.{_TERM}", f"{base * factor * markup:.10f}"
    attributes = {
        "component": component,
        "instanceName": name,
        "vCpu": str(cpus),
        "memory": memory,
        "regionCode": region,
        "location": location,
        "locationType": "AWS Region",
        "operation": "RunInstance",
        "servicecode": _SERVICE,
        "servicename": "Amazon SageMaker",
        "usagetype": usage,
    }
    dimension = {
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${price} per {component} {name} hour in {location}",
        "appliesTo": [],
        "rateCode": f"{offer}.{_RATE}",
        "pricePerUnit": {"USD": price},
    }
    term = {
        "priceDimensions": {f"{offer}.{_RATE}": dimension},
        "sku": sku,
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": _TERM,
        "termAttributes": {},
    }
    return {
        "product": {"productFamily": "ML Instance", "attributes": attributes, "sku": sku},
        "serviceCode": _SERVICE,
        "terms": {"OnDemand": {offer: term}},
        "version": "20261101000000",
        "publicationDate": "2026-11-01T00:00:00Z",
    }
