"""What the embedded broker is started with."""

from __future__ import annotations

from headway.embedded.broker import cluster_id


def test_no_cluster_id_looks_like_an_option():
    made = {cluster_id() for _ in range(1_000)}
    assert len(made) == 1_000
    assert not any(one.startswith("-") for one in made)
