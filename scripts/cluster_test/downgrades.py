"""A release that is older than a schema, by docs/operating/upgrade.md."""

from __future__ import annotations

from scripts.cluster_test.pages import Page
from scripts.cluster_test.release import Cluster, ask_postgres, create_unit, delete_at_once, wait_for

POD = "icn-validator-3-0"
REVISION = (
    "SELECT version_num, coalesce(obj_description('ledger.schema_revision'::regclass), '') "
    "FROM ledger.schema_revision"
)
MARK = "UPDATE ledger.schema_revision SET version_num = '{}'; COMMENT ON TABLE ledger.schema_revision IS '{}'"
SENTENCE = "the schema ledger is at revision 9002, which works with releases that know 9001"


def refuse_downgrade(cluster: Cluster) -> None:
    """A validator whose schema a newer release has narrowed does not start, and says why."""
    revision, oldest = ask_postgres(cluster, POD, REVISION).split("|")
    ask_postgres(cluster, POD, MARK.format("9002", "9001"))
    delete_at_once(cluster, POD)
    wait_for(
        lambda: SENTENCE in cluster.logs(POD, "migrate-ledger"), "the older release to refuse the schema"
    )
    page = Page(cluster, "upgrade.md")
    told = page.run_next()
    page.end()
    create_unit(cluster, "THREE")
    ask_postgres(cluster, POD, MARK.format(revision, oldest))
    delete_at_once(cluster, POD)  # Kubernetes tries again ever later
    cluster.wait_until_ready()
    advice = "restore a backup of before its migration"
    cluster.note(
        "a downgrade across a schema that lost something: the validator does not start, and says why",
        "a sentence; the chain goes on",
        "said by the page's commands; a transaction was final without it" if advice in told else told[-200:],
        SENTENCE in told and advice in told,
    )
