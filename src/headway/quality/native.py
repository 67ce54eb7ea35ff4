"""Rules that are not compiled, run by Great Expectations' own Spark engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headway.quality import gx as gx_module
from headway.quality.suite import Rule

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["run"]

_NUMBER = "headway_number"
"""GX gives results in an order of its own: this tells whose they are."""

_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 0}


def run(rules: Sequence[Rule], frame: DataFrame, *, telemetry: bool = False) -> list[dict[str, Any]]:
    """Validate a frame, which is one unit; return GX's result of each rule, in their order.

    A rule that GX cannot evaluate has `exception_info.raised_exception` and no success; nothing is
    raised for it. GX starts several jobs for each rule and the frame is computed anew for each.
    """
    if not rules:
        return []
    gx = gx_module.gx(telemetry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_spark("headway", persist=False)
        asset = source.add_dataframe_asset("unit")
        suite = gx.ExpectationSuite(name="native")
        for number, rule in enumerate(rules):
            meta = {**rule.meta, _NUMBER: number}
            suite.add_expectation(
                gx_module.expectation(rule.type, rule.kwargs, meta=meta, severity=rule.severity)
            )
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        found = batch.validate(suite, result_format=_FORMAT)
    results: dict[int, dict[str, Any]] = {}
    for each in found.results:
        result = each.to_json_dict()
        for key in [key for key in result["result"] if key.startswith(("partial_", "unexpected_list"))]:
            del result["result"][key]
        results[result["expectation_config"]["meta"].pop(_NUMBER)] = result
    return [results[number] for number in range(len(rules))]
