"""The release as the stories want a platform."""

from __future__ import annotations

import time

from icn_client.platforms import open_founders
from icn_localnet.network import Founder
from icn_localnet.pytest_plugin import FounderKeys

from e2e.stories import FOUNDERS
from scripts.cluster_test.release import Cluster, delete_at_once


class ClusterUnderTest:
    """The release as the stories want a platform."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.directory = cluster.zone
        self.gateway_url = cluster.gateway_url
        self.founders = [
            FounderKeys(
                Founder(one.name, [dict(key.public_keys) for key in one.keys], one.threshold, one.principal),
                dict(one.keys[0].signing_keys),
            )
            for one in open_founders(cluster.federation)[: len(FOUNDERS)]
        ]

    def kill_process(self, name: str) -> None:
        """A part as the stories name it; returns when it is back."""
        kind, _, seat = name.partition("-")
        if kind == "vm":  # one process of a validator's pod
            self._cluster.kubectl(
                "exec", f"icn-validator-{seat}-0", "-c", "vm", "--", "kill", "1", may_fail=True
            )
            time.sleep(3)
        elif kind == "validator":
            delete_at_once(self._cluster, f"icn-{name}-0")
        else:
            label = f"app.kubernetes.io/component={name}"
            self._cluster.kubectl("delete", "pod", "-l", label, "--grace-period=0", "--force")
        self._cluster.wait_until_ready()
