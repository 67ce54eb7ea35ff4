"""Run benchmarks, print a table, write bench/results.json."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict

from bench.ground import ROOT

NAMES = (
    "startup",
    "trigger",
    "year",
    "engine_cost",
    "memory",
    "postgres_sink",
    "kafka_sink",
    "rabbitmq_landing",
    "archive",
    "four_sinks",
    "gate",
    "gx_rival",
    "listening",
)
RESULTS = ROOT / "bench" / "results.json"


def main() -> int:
    chosen = sys.argv[1:] or NAMES
    unknown = [n for n in chosen if n not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"{name}:", flush=True)
        for figure in importlib.import_module(f"bench.{name}").run():
            known = {f["name"]: f for f in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
            known[figure.name] = asdict(figure)
            RESULTS.write_text(json.dumps(list(known.values()), indent=1) + "\n")
            bar = "" if figure.bar is None else f"  bar {figure.bar} {'met' if figure.is_met else 'MISSED'}"
            print(f"{figure.name:55} {figure.value:10.3f} {figure.unit:20} {figure.spread}{bar}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
