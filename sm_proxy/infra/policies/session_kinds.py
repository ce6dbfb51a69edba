"""What users of ssh need for Studio spaces and HyperPod nodes.

Resources of the actions: Service Authorization Reference, Amazon SageMaker; for sessions with nodes
the samples in AWS's awsome-distributed-ai.
"""

from __future__ import annotations

from sm_proxy.infra.policies.statement import Scope, Statement


def statements(scope: Scope) -> tuple[Statement, ...]:
    """All are optional: jobs need none of them.

    Users with these unchanged statements can enter everybody's spaces and all nodes. docs/spaces.md
    has the condition that keeps people to their own spaces. The stack's policy has no such
    condition, so it has none of these statements but the first one.
    """
    spaces, apps = scope.arn("sagemaker", "space/*"), scope.arn("sagemaker", "app/*")
    clusters = scope.arn("sagemaker", "cluster/*")
    return (
        Statement(
            "FindSpacesAndClusters",
            ("sagemaker:ListApps", "sagemaker:ListClusters", "sagemaker:ListSpaces"),
            ("*",),
            "Studio spaces, and clusters in `list`",
            optional=True,
        ),
        Statement(
            "StudioSpaces",
            ("sagemaker:DescribeApp", "sagemaker:DescribeSpace", "sagemaker:StartSession"),
            (spaces, apps),
            "ssh to Studio spaces: everybody's, unless you add the condition of docs/spaces.md",
            optional=True,
            in_stack=False,
        ),
        Statement(
            "StartAndStopSpaces",
            ("sagemaker:CreateApp", "sagemaker:DeleteApp", "sagemaker:UpdateSpace"),
            (spaces, apps),
            "`start` and `stop` of Studio spaces",
            optional=True,
            in_stack=False,
        ),
        Statement(
            "TagTheirApps",
            ("sagemaker:AddTags",),
            (apps,),  # not spaces: a user who may tag them can evade conditions on their tags
            "`start` in a domain of Studio that tags its apps",
            optional=True,
            in_stack=False,
        ),
        Statement(
            "HyperPodNodes",
            ("sagemaker:DescribeCluster", "sagemaker:ListClusterNodes", "ssm:StartSession"),
            (clusters,),
            "ssh to the nodes of HyperPod clusters, with `BastionSshdDocument`",
            optional=True,
            in_stack=False,
        ),
    )
