"""What the field asks before it streams, and the answers there are to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["QUESTIONS", "Choice", "Question", "question"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to a question."""

    key: str
    """What a file of answers says."""
    label: str
    """What a person reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing to know before a mode is chosen."""

    key: str
    """What a file of answers says."""
    asks: str
    decides: str
    """What stays open without an answer; a half sentence."""
    kind: Literal["choice", "span", "dollars", "text"] = "choice"
    choices: tuple[Choice, ...] = ()
    hint: str | None = None
    """How to write the answer, where there are no choices."""
    default: str | None = None
    """What the Enter key answers; None leaves the question open."""

    def label(self, answer: str) -> str:
        """Return an answer as a person reads it."""
        if self.kind == "dollars":
            return f"${float(answer):,.2f} a day"
        return next((choice.label for choice in self.choices if choice.key == answer), answer)


QUESTIONS = (
    Question(
        key="use_case",
        asks="What is it for, in a few words?",
        decides="nothing; it heads the page",
        kind="text",
    ),
    Question(
        key="destination",
        asks="Where does the result go?",
        decides="whether only a stream will do, whether it is a grey area, or neither",
        choices=(
            Choice("dashboard", "a dashboard or a report"),
            Choice("customers", "to customers: a product, an interface, an e-mail"),
            Choice("master_data", "upstream of others: master data that their systems read"),
            Choice("fraud", "it stops fraud"),
            Choice("trading", "it trades or sets prices"),
            Choice("alerting", "it alerts somebody who then acts"),
        ),
        default="dashboard",
    ),
    Question(
        key="who",
        asks="Who acts on it?",
        decides="how soon anybody could act",
        choices=(
            Choice("analysts", "analysts and managers, when they look"),
            Choice("operations", "people on shift, within minutes"),
            Choice("customers", "customers"),
            Choice("systems", "other pipelines and systems"),
            Choice("automaton", "a program that acts by itself"),
        ),
        default="analysts",
    ),
    Question(
        key="asked",
        asks="How was the wish put?",
        decides="whether a decision is behind the wish",
        choices=(
            Choice("not_up_to_date", '"the data is not up to date"'),
            Choice("too_late", "a decision was named that it comes too late for"),
            Choice("promised", "it is promised: a contract, a regulation, a service level"),
            Choice("own_idea", "nobody has asked; it is our own idea"),
        ),
        default="not_up_to_date",
    ),
    Question(
        key="wanted",
        asks="How often must it be renewed to be of use?",
        hint="A number and a unit: 1 day, 1 hour, 15 minutes, 10 seconds.",
        decides="the pace; without one the slowest mode is fast enough",
        kind="span",
        default="1 day",
    ),
    Question(
        key="acted_on",
        asks="How often does anybody act on it?",
        decides="how many of its runs anybody would notice",
        choices=(
            Choice("once_a_day", "once a day, or more seldom"),
            Choice("few_times", "a few times a day"),
            Choice("all_day", "all day long"),
            Choice("every_event", "on every event"),
        ),
        default="once_a_day",
    ),
    Question(
        key="hour_later",
        asks="What is lost if it comes an hour later?",
        decides="whether an hour matters",
        choices=(
            Choice("nothing", "nothing"),
            Choice("annoyance", "patience: somebody is annoyed"),
            Choice("money", "money, and how much can be said"),
            Choice("breach", "a promise is broken"),
            Choice("harm", "the harm is done: money gone, somebody hurt"),
        ),
        default="annoyance",
    ),
    Question(
        key="worth",
        asks="What is that pace worth, against the slowest mode?",
        hint="Dollars a day; nobody knows it by heart, and a guess is better than none.",
        decides="whether a step faster is worth its price",
        kind="dollars",
    ),
    Question(
        key="skills",
        asks="What does the team know of streams?",
        decides="whether the team can mend a stream",
        choices=(
            Choice("none", "nobody has run one"),
            Choice("some", "somebody has, or one runs in test"),
            Choice("production", "the team runs streams in production"),
        ),
        default="none",
    ),
    Question(
        key="on_call",
        asks="Who answers when it fails?",
        decides="how long a stream that stands would stand",
        choices=(
            Choice("none", "whoever notices"),
            Choice("office_hours", "the team, in office hours"),
            Choice("around_the_clock", "somebody on call, around the clock"),
        ),
        default="office_hours",
    ),
    Question(
        key="others",
        asks="What are the other pipelines like?",
        decides="whether it would be one of many or the only one of its kind",
        choices=(
            Choice("batch", "all alike: scheduled runs"),
            Choice("mixed", "of several kinds"),
            Choice("streams", "all alike: streams"),
        ),
        default="batch",
    ),
    Question(
        key="quality",
        asks="How is its quality checked?",
        decides="what a faster mode would have to wait for",
        choices=(
            Choice("nobody", "it is not"),
            Choice("by_hand", "somebody looks before it is shown"),
            Choice("day_held", "a day is held back until rules about the whole day have passed"),
            Choice("day_marked", "a day is shown, judged afterwards and marked"),
            Choice("rows", "rules about each row leave bad rows out"),
        ),
        default="nobody",
    ),
    Question(
        key="revisions",
        asks="May a figure that was shown change later?",
        decides="whether first figures may show before an interval is closed",
        choices=(
            Choice("fine", "yes, as long as it ends up right"),
            Choice("never", "no: what is shown is final"),
        ),
        default="fine",
    ),
)


def question(key: str) -> Question:
    """Return a question by its key.

    >>> question("hour_later").label("harm")
    'the harm is done: money gone, somebody hurt'
    """
    return next(q for q in QUESTIONS if q.key == key)
