"""Which instances Studio has, by the installed botocore."""

from __future__ import annotations

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import suggestion


def refuse_unknown(aws: Aws, instance_type: str, stop: str) -> None:
    """Raise if botocore does not know an instance of Studio (the values of AppInstanceType).

    SageMaker would refuse it too, but only when the running app has been ended for it.

    Args:
        aws: for its botocore session.
        instance_type: such as `ml.g5.xlarge`.
        stop: the command that ends the running app.

    Raises:
        SmProxyError: `unsupported`.
    """
    shape = aws.session.get_service_model("sagemaker").shape_for("AppInstanceType")
    known = shape.metadata.get("enum", [])
    if instance_type in known:
        return
    import botocore  # noqa: PLC0415 - slow

    remedy = f"If SageMaker has it by now, update botocore, or end the app first: {stop}"
    raise SmProxyError(
        "unsupported",
        f"botocore {botocore.__version__} does not know {instance_type} as an instance of Studio,"
        " and the running app would be ended before SageMaker checks it",
        f"{suggestion.sentence(instance_type, known)} {remedy}".lstrip(),
    )
