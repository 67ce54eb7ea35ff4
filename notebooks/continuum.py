# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Latency against cost
#
# One pipeline, one log, every mode: the rows are the same, so the choice is between freshness and price. This notebook goes
# through the figures of `headway compare` step by step and ends with the curve of the continuum.
#
# Open it with jupytext (`jupytext --to notebook notebooks/continuum.py`) or in an editor that knows `# %%`. It takes the newest
# comparison of the project; without one, the three days of real flights that lie beside it.

# %%
import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from headway.comparison import Comparison
from headway.freshness import spell

here = ".." if Path("../pipelines").is_dir() else "."
root = Path(os.environ.get("HEADWAY_PROJECT", here))
own = sorted((root / ".headway" / "comparisons").glob("*.json"), key=lambda file: file.stat().st_mtime)
file = own[-1] if own else root / "notebooks" / "flights.json"
found = Comparison.from_json(json.loads(file.read_text()))
print(f"{found.pipeline}, {found.start} to {found.end}: {found.records:,} records ({file})")

# %% [markdown]
# ## How late is the log itself?
#
# Before any engine does anything, records take their time to arrive. No mode is fresher than that. The share beyond
# `lateness` is what a mode that closes its intervals leaves to corrections, or out.

# %%
lag = found.arrival_lag
print(
    f"half arrive within {spell(lag.p50)} of their event time, 95% within {spell(lag.p95)}, 99% within {spell(lag.p99)}"
)
print(
    f"late: {found.late_share:.2%}; an interval is closed {spell(found.closes_after_seconds)} after its end"
)

# %% [markdown]
# ## From sent to visible
#
# A row waits, and then something runs. Waiting follows from the schedule and the lateness: no machine makes it shorter. What
# runs was measured: that is what money buys. Look which of the two is the larger one.

# %%
for mode in found.modes:
    waits, runs = mode.freshness.seconds("schedule"), mode.freshness.seconds("measured")
    print(
        f"{mode.name:18} p50 {spell(mode.freshness.p50):>8}   on average waits {spell(waits):>8}, runs {spell(runs):>8}"
    )

# %% [markdown]
# ## Used and held
#
# A scheduled run holds its cores while it lasts, and most of a short run is its start. A stream holds them all day, whether
# something comes or not. The difference between the two is what a stream costs for being there.

# %%
for mode in found.modes:
    share = mode.cpu_seconds_per_day / mode.held_core_seconds_per_day
    held = f"holds {spell(mode.held_core_seconds_per_day):>8} of core time a day"
    print(f"{mode.name:18} {held}, uses {spell(mode.cpu_seconds_per_day):>8} ({share:.0%})")

# %% [markdown]
# ## What each step costs
#
# From one mode to the next fresher one: how much sooner, and what an hour sooner costs. Where that price leaps, the step
# before it is where most teams should stay.

# %%
currency = found.prices.currency
for before, mode in pairwise(found.modes):
    sooner = before.freshness.p50 - mode.freshness.p50
    more = mode.dollars_per_day - before.dollars_per_day
    rate = f"{more / sooner * 3_600:.3f} {currency} a day for each hour sooner" if sooner > 0 else "no sooner"
    print(f"{before.name} to {mode.name}: {spell(sooner)} sooner, {more:+.2f} {currency} a day; {rate}")

# %% [markdown]
# ## With your own prices
#
# Put them into `conf/` (`prices`) and compare again, or try them here. Objects written are not scaled: their price stays.


# %%
def at_prices(comparison: Comparison, *, core_hour: float, gib_hour: float) -> Comparison:
    """Return the same measurements at other prices."""
    prices = replace(comparison.prices, core_hour=core_hour, gib_hour=gib_hour)
    modes = tuple(
        replace(
            mode,
            dollars_per_day=prices.of(
                core_seconds=mode.held_core_seconds_per_day,
                memory_bytes=mode.peak_memory_bytes,
                memory_seconds=mode.held_core_seconds_per_day / comparison.machine.cores,
                writes=mode.object_writes_per_day,
            ),
        )
        for mode in comparison.modes
    )
    return replace(comparison, prices=prices, modes=modes)


dearer = at_prices(found, core_hour=0.10, gib_hour=0.01)
for mode in dearer.modes:
    print(f"{mode.name:18} {mode.dollars_per_day:8.2f} {currency} a day")

# %% [markdown]
# ## The curve of the continuum
#
# Each point is a mode: its median freshness, with a line up to the 95th percentile, against what it costs a day. Moving along
# the curve is a flag (`--mode`), and the rows do not change.

# %%
from IPython.display import HTML, display

from headway.comparison_page import plots, variables

display(HTML(f"<style>{variables()}</style><div style='max-width: 50rem'>{plots.curve(found)}</div>"))
