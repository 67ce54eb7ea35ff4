"""A comparison as figures and as a page that needs nothing from outside."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from headway.comparison import Comparison, Lag, Machine, ModeFigures
from headway.comparison_page import page
from headway.freshness import Freshness
from headway.prices import Prices


def figures(name, seconds, dollars, every=None, **other):
    fresh = Freshness.of(
        [(seconds, 1.0)] * 3, [("schedule", "schedule"), ("run" if every else "batch", "measured")]
    )
    facts = {
        "name": name, "kind": "bounded" if every else "streaming", "interval_seconds": every, "runs": 3,
        "measured_runs": 3, "batches": None if every else 900, "measured_batches": None if every else 40,
        "freshness": fresh, "run_seconds": 1.0, "start_up_seconds": 8.0, "cpu_seconds": 30.0,
        "cpu_seconds_per_day": 10.0, "held_core_seconds_per_day": 20.0, "bytes_read": 10**7,
        "bytes_written": 10**6, "files": 3, "files_per_day": 1.0, "object_writes_per_day": 9.0,
        "peak_memory_bytes": 2**30, "dollars_per_day": dollars, "rows": 100, "agrees": True,
    }  # fmt: skip
    return ModeFigures(**(facts | other))


@pytest.fixture
def found():
    return Comparison(
        pipeline="a<b", start="2013-02-01T05:00:00Z", end="2013-02-04T05:00:00Z",
        created_at="2026-01-01T00:00:00Z", records=2_600, sampled_records=2_600, late_share=0.0012,
        arrival_lag=Lag(-60.0, 4_000.0, 9_000.0), machine=Machine(2, 24.0), prices=Prices(),
        modes=(figures("daily", 60_000.0, 0.01, every=86_400.0), figures("every_15_minutes", 900.0, 0.4, every=900.0),
               figures("continuous", 0.5, 2.1)),
        closed_modes={},
    )  # fmt: skip


def test_a_comparison_survives_json(found):
    assert Comparison.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_shape_that_others_read(found):
    data = found.to_json()
    assert data.keys() >= {
        "pipeline", "start", "end", "created_at", "records", "late_share", "arrival_lag", "machine", "prices", "modes",
    }  # fmt: skip
    assert data["arrival_lag"].keys() == {"p50", "p95", "p99"}
    assert data["modes"][0].keys() >= {
        "name", "kind", "interval_seconds", "runs", "measured_runs", "freshness", "cpu_seconds",
        "cpu_seconds_per_day", "held_core_seconds_per_day", "bytes_read", "bytes_written", "files", "files_per_day",
        "peak_memory_bytes", "dollars_per_day", "rows", "agrees",
    }  # fmt: skip
    assert data["modes"][0]["freshness"]["parts"][0].keys() == {"name", "seconds", "how"}


def test_the_page_asks_for_nothing_from_outside(found):
    asked = re.findall(r'(?:src|href)="(?!#)[^"]*"|@import|url\((?!#)', page(found))
    assert [a for a in asked if "xlink" not in a] == []


def test_text_in_the_pictures_stays_text_and_colours_are_the_pages(found):
    svgs = re.findall(r"<svg.*?</svg>", page(found), flags=re.DOTALL)
    assert len(svgs) == 3
    assert all("every 15 minutes" in svg and "<text" in svg for svg in svgs)
    assert not any(re.search(r"(?:fill|stroke): #", svg) for svg in svgs)
    assert all(re.match(r'<svg role="img" aria-label="[^"]{40,}"', svg) for svg in svgs)


def test_the_page_is_well_formed_and_its_ids_are_unique(found):
    class Reader(HTMLParser):
        open, ids = [], []

        def handle_starttag(self, tag, attrs):
            self.ids += [value for name, value in attrs if name == "id"]
            if tag not in ("meta", "br"):
                self.open.append(tag)

        def handle_startendtag(self, tag, attrs):
            self.ids += [value for name, value in attrs if name == "id"]

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    reader = Reader()
    reader.feed(page(found))
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))


def test_names_are_escaped(found):
    assert "a&lt;b" in page(found)
    assert "a<b" not in page(found)


def test_modes_that_differ_and_a_stream_that_does_not_keep_up_are_told(found):
    modes = (found.modes[0], found.modes[1], replace(found.modes[2], agrees=False, keeps_up=False))
    said = page(replace(found, modes=modes))
    assert "The rows of continuous differ from those of daily." in said
    assert "continuous does not keep up" in said
    assert "The modes gave the same rows." not in said


def test_the_same_comparison_is_the_same_page(found):
    assert page(found) == page(found)
