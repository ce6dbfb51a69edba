"""Which instances are large enough for remote access to a Studio space.

Its server needs 8 GiB of memory. The SageMaker guide, "Set up remote access", names the instances
that have less, but for t3.micro (1 GiB) and t3.small (2 GiB); the AWS Toolkit
(`InstanceTypeInsufficientMemory`) starts the next size of the same family in their place.
"""

from __future__ import annotations

from typing import Final

from sm_proxy.errors import SmProxyError, printable

DEFAULT: Final = "ml.t3.medium"
"""Studio's default instance for an app, if neither CreateApp nor the space names one."""
ENOUGH_FOR: Final[dict[str, str]] = {
    "ml.t3.micro": "ml.t3.large",
    "ml.t3.small": "ml.t3.large",
    "ml.t3.medium": "ml.t3.large",
    "ml.c5.large": "ml.c5.xlarge",
    "ml.c6i.large": "ml.c6i.xlarge",
    "ml.c6id.large": "ml.c6id.xlarge",
    "ml.c7i.large": "ml.c7i.xlarge",
}
"""The instances that are too small, each with the next size that serves."""


def large_enough(instance_type: str) -> str:
    """The smallest instance of the family that serves, `instance_type` itself if it does.

    Args:
        instance_type: such as `ml.t3.medium`; empty for Studio's default.
    """
    wanted = instance_type or DEFAULT
    return ENOUGH_FOR.get(wanted, wanted)


def refuse_too_small(instance_type: str, hint: str = "") -> None:
    """Raise if an instance has too little memory for remote access.

    Args:
        instance_type: such as `ml.t3.medium`; empty for Studio's default.
        hint: the next step; by default, the instance that serves.

    Raises:
        SmProxyError: `unsupported`.
    """
    wanted = instance_type or DEFAULT
    if wanted in ENOUGH_FOR:
        raise SmProxyError(
            "unsupported",
            f"{printable(wanted, 60)} has less than 8 GiB of memory, which remote access to a space"
            " needs",
            hint or f"The smallest of its family that serves is {ENOUGH_FOR[wanted]}.",
        )
