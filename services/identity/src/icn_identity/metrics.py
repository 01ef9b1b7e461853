"""What the service counts beside what kit counts of every service."""

from prometheus_client import Gauge

CHECKPOINT_HEIGHT = Gauge(
    "icn_identity_checkpoint_height", "Height up to which every permission tuple has been published."
)
