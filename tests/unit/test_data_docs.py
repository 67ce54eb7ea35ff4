"""Data Docs that need no network."""

from __future__ import annotations

import re

import pytest

from headway import instant
from headway.errors import ResultError
from headway.interval import Interval
from headway.quality import data_docs
from headway.quality.suite import read
from headway.quality.validation import validation_result
from headway.quality.verdict import result_of, verdict_of

DAY = instant.duration("1 day")
COUNTS = {"element_count": 100, "unexpected_count": 3, "unexpected_percent": 3.0, "missing_count": 0}


def result(suite, day):
    """The first rule has failed on the first day."""
    found = []
    for number, rule in enumerate(suite.rules):
        facts = COUNTS if rule.about == "row" else {"observed_value": 100}
        found.append((rule, result_of(rule, success=number > 0 or day > 0, result=facts)))
    start = instant.parse("2013-02-01T05:00Z") + day * DAY
    return validation_result(
        verdict_of(found),
        suite,
        pipeline="punctuality",
        source="flights",
        unit=Interval(start, start + DAY),
        judged_at=instant.parse("2013-03-01"),
        samples={suite.rules[0].id: [{"flight": None}]},
    )


def test_each_unit_and_each_suite_has_a_page_and_no_page_asks_the_network(project_copy, tmp_path):
    suite = read(project_copy / "quality" / "departures.json")
    folder = tmp_path / "data_docs"
    folder.mkdir()
    (folder / "old.html").write_text("from before")
    index = data_docs.build([result(suite, 0), result(suite, 1)], [suite], folder)
    assert index == folder / "index.html"
    pages = {str(page.relative_to(folder)): page.read_text() for page in folder.rglob("*.html")}
    assert len(pages) == 4
    assert "expectations/departures.html" in pages
    failed = next(
        text for name, text in pages.items() if name.endswith("2013-02-01T050000Z..2013-02-02T050000Z.html")
    )
    assert "Failed" in failed
    assert "source flights of punctuality" in failed
    assert all(
        name in pages["index.html"]
        for name in ("source flights of punctuality", "punctuality, source flights")
    )
    for name, text in pages.items():
        assert not re.search(r'<(script|link|img|iframe)[^>]*(src|href)="(https?:)?//', text), name
        for own in re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"#]+\.(?:css|js|png))"', text):
            assert (folder / name).parent.joinpath(own).exists(), own


def test_where_a_page_cannot_be_made_the_old_ones_stand(project_copy, tmp_path):
    suite = read(project_copy / "quality" / "departures.json")
    broken = result(suite, 0)
    broken["meta"]["batch_spec"] = ["no mapping"]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").write_text("from before")
    with pytest.raises(ResultError, match="could not make a page"):
        data_docs.build([broken], [suite], tmp_path / "docs")
    assert (tmp_path / "docs" / "index.html").read_text() == "from before"
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
