"""The decision table: every rule with its reason. docs/how-to/advise.md prints it."""

from __future__ import annotations

from collections.abc import Mapping

from headway.advice.rule import Rule

__all__ = ["RULES"]


def _is(**answers: str) -> Mapping[str, frozenset[str]]:
    """Spell a condition: `money|harm` means either."""
    return {key: frozenset(text.split("|")) for key, text in answers.items()}


_A_REPORT_AFTER_ALL = _is(
    who="analysts", acted_on="once_a_day|few_times", hour_later="nothing|annoyance", asked="own_idea"
)
_GREY = "customers|master_data"
_ONLY_STREAMS = "fraud|trading|alerting"
_DEARLY = "money|breach|harm"

_DEMANDS = (
    Rule(
        id="stops-fraud",
        effect="demand",
        when=_is(destination="fraud"),
        unless=_A_REPORT_AFTER_ALL,
        speaks_for="faster",
        reason="Fraud is stopped before the money is gone or not at all: a run on a schedule comes after it.",
    ),
    Rule(
        id="trades",
        effect="demand",
        when=_is(destination="trading"),
        unless=_A_REPORT_AFTER_ALL,
        speaks_for="faster",
        reason="A price that is an hour old is traded against by those who have a newer one.",
    ),
    Rule(
        id="alerts",
        effect="demand",
        when=_is(destination="alerting"),
        unless=_A_REPORT_AFTER_ALL,
        speaks_for="faster",
        reason="An alert is worth what can still be done when it comes; waiting for a schedule spends that time.",
    ),
)

_LIMITS_OF_THE_USE = (
    Rule(
        id="not-up-to-date",
        effect="limit",
        when=_is(asked="not_up_to_date"),
        bound="1 hour",
        reason='"The data is not up to date" names no decision that comes too late. It means daily or hourly.',
        first="Look whether today's run is late or fails (`headway status`): that is what the complaint often is.",
        first_for="always",
    ),
    Rule(
        id="nobody-asked",
        effect="limit",
        when=_is(asked="own_idea"),
        bound="1 day",
        reason="Nobody has asked for it. Begin with the cheapest mode; a faster one is a flag away, not a rewrite.",
    ),
    Rule(
        id="analysts-look",
        effect="limit",
        when=_is(who="analysts"),
        bound="1 hour",
        reason="Analysts work on what was there when they began; figures that move below them help nobody.",
    ),
    Rule(
        id="once-a-day",
        effect="limit",
        when=_is(acted_on="once_a_day"),
        bound="1 day",
        reason="It is acted on once a day: of 24 hourly runs, 23 would be looked at by nobody.",
    ),
    Rule(
        id="few-times",
        effect="limit",
        when=_is(acted_on="few_times"),
        bound="1 hour",
        reason="It is acted on a few times a day: most hourly runs already go unseen.",
    ),
    Rule(
        id="nothing-lost",
        effect="limit",
        when=_is(hour_later="nothing"),
        bound="1 hour",
        reason="Nothing is lost if it comes an hour later, so nothing is gained by less than an hour.",
    ),
    Rule(
        id="only-patience",
        effect="limit",
        when=_is(hour_later="annoyance"),
        bound="1 hour",
        reason="What an hour costs is patience. Being told how old the figures are costs less than a stream.",
        first="Show how old the figures are wherever they are shown.",
        first_for="always",
    ),
    Rule(
        id="read-by-batches",
        effect="limit",
        when=_is(destination="master_data", others="batch"),
        bound="1 hour",
        reason="Those who read it are scheduled runs: they take it up at their own next run, not at yours.",
    ),
)

_LIMITS_OF_THE_TEAM = (
    Rule(
        id="nobody-can-mend",
        effect="limit",
        when=_is(skills="none"),
        bound="scheduled",
        lies_in="team",
        reason="Nobody in the team has run a stream. A scheduled run that fails is run again; a stream that "
        "fails has state, offsets and a backlog.",
        first="Have two people run this pipeline as a stream in test until both have restarted and restored it; "
        "or leave it to a team that runs streams.",
    ),
    Rule(
        id="nobody-on-call",
        effect="limit",
        when=_is(on_call="none"),
        bound="scheduled",
        lies_in="team",
        reason="A stream is a service and runs at night. Without somebody on call, minutes become the hours until "
        "anybody notices.",
        first="Set up a rota around the clock: eight people at one site, where two are on call at a time.",
        source="Google, Site Reliability Engineering, chapter Being On-Call",
    ),
    Rule(
        id="grey-in-office-hours",
        effect="limit",
        when=_is(destination=_GREY, on_call="office_hours"),
        bound="scheduled",
        lies_in="team",
        reason="What customers or other systems rely on, they rely on at night: a stream that stops in the evening "
        "stands until morning, where a scheduled run is tried again by its scheduler.",
        first="Set up a rota around the clock, or promise freshness in office hours only.",
    ),
    Rule(
        id="looked-at-by-hand",
        effect="limit",
        when=_is(quality="by_hand"),
        bound="1 day",
        lies_in="team",
        reason="Somebody looks before it is shown, and will not look 24 times a day.",
        first="Turn what that person looks for into rules about rows (quality/).",
    ),
    Rule(
        id="day-held-back",
        effect="limit",
        when=_is(quality="day_held"),
        bound="1 day",
        lies_in="team",
        reason="A day is shown once rules about the whole day have passed: a faster mode would wait for the day's "
        "end with its result in hand.",
        first='Shorten the suite\'s unit (`per`), or let it mark instead of hold (`"gate": "mark"`).',
    ),
)

_NOTES = (
    Rule(
        id="grey-area",
        effect="note",
        when=_is(destination=_GREY),
        reason="A grey area: fast is pleasant here and slow is seldom fatal. What an hour costs and who answers at "
        "night decide, not the wish.",
    ),
    Rule(
        id="an-hour-costs",
        effect="note",
        when=_is(hour_later=_DEARLY),
        speaks_for="faster",
        reason="An hour later costs more than patience.",
    ),
    Rule(
        id="promised",
        effect="note",
        when=_is(asked="promised"),
        speaks_for="faster",
        reason="It is promised.",
        first="Write the promise down as a figure, and alert on that figure.",
        first_for="always",
    ),
    Rule(
        id="too-late",
        effect="note",
        when=_is(asked="too_late"),
        speaks_for="faster",
        reason="A decision is named that it comes too late for.",
    ),
    Rule(
        id="on-shift",
        effect="note",
        when=_is(who="operations|automaton"),
        speaks_for="faster",
        reason="Whoever acts on it is there when it comes.",
    ),
    Rule(
        id="first-of-its-kind",
        effect="note",
        when=_is(others="batch"),
        reason="The other pipelines are scheduled runs. One stream among them has tools, alerts and habits to itself.",
    ),
    Rule(
        id="many-kinds",
        effect="note",
        when=_is(others="mixed"),
        reason="The other pipelines are of several kinds, and each kind fails in its own way: one more is one more "
        "to learn at night.",
    ),
    Rule(
        id="one-of-many",
        effect="note",
        when=_is(others="streams"),
        speaks_for="faster",
        reason="The other pipelines are streams: tools, alerts and habits are there.",
    ),
    Rule(
        id="some-skill",
        effect="note",
        when=_is(skills="some"),
        reason="A stream in test has not been mended at night yet.",
        first="Rehearse it: stop it, kill it, restore it, and catch up a day's backlog before it counts.",
    ),
    Rule(
        id="seasoned",
        effect="note",
        when=_is(skills="production"),
        speaks_for="faster",
        reason="The team runs streams in production.",
    ),
    Rule(
        id="office-hours",
        effect="note",
        when=_is(on_call="office_hours"),
        unless=_is(destination=_GREY),
        reason="The team answers in office hours: what stops in the evening stands until morning.",
        first="Agree with those who act on it what they do while the stream stands.",
    ),
    Rule(
        id="always-somebody",
        effect="note",
        when=_is(on_call="around_the_clock"),
        speaks_for="faster",
        reason="Somebody is on call around the clock.",
    ),
    Rule(
        id="unchecked",
        effect="note",
        when=_is(quality="nobody"),
        reason="Nobody checks it: the faster it is shown, the more have acted on a wrong figure before it is noticed.",
        first="Give it a suite with rules about rows; `headway suite new` proposes one.",
        first_for="sub_daily",
    ),
    Rule(
        id="judged-afterwards",
        effect="note",
        when=_is(quality="day_marked"),
        reason="A day is judged after it was shown: whoever acted in between acted on figures that may be marked "
        "as failed.",
    ),
    Rule(
        id="row-rules",
        effect="note",
        when=_is(quality="rows"),
        speaks_for="faster",
        reason="Rules about rows are counted in the pass that writes the rows: their verdict is the same in every mode "
        "and needs no second look. (Great Expectations run as it comes inside of a stream's batches has doubled a "
        "job's time.)",
        source="great_expectations issue 2024",
    ),
    Rule(
        id="final-only",
        effect="note",
        when=_is(revisions="never"),
        reason="What is shown is final: the rows of windows and joins wait until their interval is closed, in every "
        "mode. A faster mode does not shorten that wait; the source's `lateness` does.",
    ),
    Rule(
        id="may-be-revised",
        effect="note",
        when=_is(revisions="fine"),
        speaks_for="faster",
        reason='First figures may show and be revised (`emit="early"`): a faster mode is seen at once.',
    ),
)

_CONTRADICTIONS = (
    Rule(
        id="a-report-for-analysts",
        effect="contradiction",
        when=_is(destination=_ONLY_STREAMS, who="analysts"),
        reason="It is said to stop, trade or alert, and analysts act on it when they look. Then it is a report about "
        "that, and is advised on as one.",
    ),
    Rule(
        id="an-alert-for-tomorrow",
        effect="contradiction",
        when=_is(destination=_ONLY_STREAMS, acted_on="once_a_day|few_times"),
        reason="It is said to stop, trade or alert, and is acted on a few times a day at most. Then it is a report, "
        "and is advised on as one.",
    ),
    Rule(
        id="an-alert-that-can-wait",
        effect="contradiction",
        when=_is(destination=_ONLY_STREAMS, hour_later="nothing|annoyance"),
        reason="It is said to stop, trade or alert, and little is lost if it comes an hour later. Then a stream is not "
        "needed for it.",
    ),
    Rule(
        id="an-alert-nobody-asked-for",
        effect="contradiction",
        when=_is(destination=_ONLY_STREAMS, asked="own_idea"),
        reason="It is said to stop, trade or alert, and nobody has asked for it. Find out who would act on it first.",
    ),
    Rule(
        id="fast-and-seldom",
        effect="contradiction",
        when=_is(acted_on="once_a_day"),
        wanted_below="1 hour",
        reason="It is to be renewed within the hour, and is acted on once a day.",
    ),
    Rule(
        id="fast-and-worthless",
        effect="contradiction",
        when=_is(hour_later="nothing"),
        wanted_below="1 hour",
        reason="It is to be renewed within the hour, and nothing is lost if it comes an hour later.",
    ),
    Rule(
        id="fast-and-by-hand",
        effect="contradiction",
        when=_is(quality="by_hand"),
        wanted_below="1 hour",
        reason="It is to be renewed within the hour, and somebody looks at it before it is shown.",
    ),
    Rule(
        id="fast-and-held",
        effect="contradiction",
        when=_is(quality="day_held"),
        wanted_below="1 day",
        reason="It is to be renewed within the day, and is held back until rules about the whole day have passed.",
    ),
    Rule(
        id="fast-and-final",
        effect="contradiction",
        when=_is(revisions="never"),
        wanted_below="1 hour",
        reason="It is to be renewed within the hour, and no figure may change: then none of a window shows before all "
        "that may be late has come.",
    ),
    Rule(
        id="slow-and-dear",
        effect="contradiction",
        when=_is(hour_later=_DEARLY),
        wanted_from="1 day",
        reason="Once a day is enough, and an hour later costs more than patience.",
    ),
    Rule(
        id="dear-and-nameless",
        effect="contradiction",
        when=_is(asked="not_up_to_date", hour_later=_DEARLY),
        reason="An hour is said to cost more than patience, and the wish names no decision that comes too late. Name "
        "the decision, or the cost is a guess.",
    ),
    Rule(
        id="dear-and-worth-nothing",
        effect="contradiction",
        when=_is(hour_later=_DEARLY, worth="0"),
        reason="An hour later costs more than patience, and the pace is worth $0 a day.",
    ),
    Rule(
        id="harm-on-a-dashboard",
        effect="contradiction",
        when=_is(destination="dashboard", hour_later="harm"),
        reason="A dashboard averts no harm unless somebody happens to look. What averts it is an alert: if that is "
        "meant, say so.",
    ),
)

RULES = (*_DEMANDS, *_LIMITS_OF_THE_USE, *_LIMITS_OF_THE_TEAM, *_NOTES, *_CONTRADICTIONS)
"""Every rule, in the order in which they are told. Ids are unique."""
