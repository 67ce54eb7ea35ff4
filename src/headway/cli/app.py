"""The commands, their options and their help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from headway.cli.context import Context
from headway.errors import Error

__all__ = ["app", "main"]

app = typer.Typer(
    name="headway",
    help="Define a transformation once; run it as daily batch, hourly batch or stream. The rows do not depend on the mode.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Pipeline = Annotated[str, typer.Argument(help="Name of a pipeline; `headway list` shows them.")]
ModeName = Annotated[str, typer.Option("--mode", "-m", help="Name of a mode; `headway list` shows them.")]
Start = Annotated[
    str | None, typer.Option(help="First instant, ISO 8601; without an offset in the zone of conf/.")
]
End = Annotated[str | None, typer.Option(help="First instant that no longer belongs to it.")]


@app.callback()
def _options(
    ctx: typer.Context,
    project: Annotated[Path, typer.Option(help="Folder of the project.")] = Path(),
    env: Annotated[str, typer.Option(help="Which layer of conf/ to use.", envvar="HEADWAY_ENV")] = "local",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show stack traces, and what Spark itself warns of.")
    ] = False,
) -> None:
    ctx.obj = Context(project, env, json, verbose)


@app.command()
def init(ctx: typer.Context, folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Make a new project that runs.  Example: headway init shop"""
    from headway.cli import projects

    projects.init(ctx.obj, folder)


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Check Java, jars, broker, catalog, disk and clock; each failure with its mend.  Example: headway doctor"""
    from headway.cli import projects

    raise typer.Exit(projects.doctor(ctx.obj))


@app.command()
def up(ctx: typer.Context) -> None:
    """Start the embedded Kafka broker and catalog on loopback.  Example: headway up"""
    from headway.cli import projects

    projects.up(ctx.obj)


@app.command()
def down(ctx: typer.Context) -> None:
    """Stop what `up` has started; the data stay.  Example: headway down"""
    from headway.cli import projects

    projects.down(ctx.obj)


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Show the pipelines and the modes of the project.  Example: headway list"""
    from headway.cli import projects

    projects.list_(ctx.obj)


@app.command()
def check(
    ctx: typer.Context,
    pipeline: Annotated[str | None, typer.Argument(help="One pipeline; all without it.")] = None,
) -> None:
    """Say what is wrong and which modes are open, without reading data.  Example: headway check punctuality"""
    from headway.cli import checks

    raise typer.Exit(checks.check(ctx.obj, pipeline))


@app.command()
def plan(
    ctx: typer.Context, pipeline: Pipeline, mode: ModeName, start: Start = None, end: End = None
) -> None:
    """Show what a run would read and replace.  Example: headway plan punctuality --mode hourly"""
    from headway.cli import looks

    looks.plan(ctx.obj, pipeline, mode, start, end)


@app.command()
def status(
    ctx: typer.Context,
    pipeline: Annotated[str | None, typer.Argument(help="One pipeline; all without it.")] = None,
    max_age: Annotated[
        str | None,
        typer.Option(help="End with 1 where what is published is older, such as '2 hours', or nothing is."),
    ] = None,
) -> None:
    """Show who runs, who owns which range, frontier and lag.  Example: headway status"""
    from headway.cli import looks

    raise typer.Exit(looks.status(ctx.obj, pipeline, max_age))


@app.command()
def run(
    ctx: typer.Context,
    mode: ModeName,
    pipeline: Annotated[str | None, typer.Argument(help="Name of a pipeline; or use --select.")] = None,
    start: Start = None,
    end: End = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="Several pipelines, each after those whose tables it reads: name, +name (with all it "
            "depends on), name+ (with all that depends on it), commas between."
        ),
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="A stream stops once it has read what is there now.")
    ] = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete", help="The log has ended: nothing more will arrive, so everything is closed."
        ),
    ] = False,
) -> None:
    """Publish every closed interval that is not published yet, or run a stream until it is stopped.

    Example: headway run punctuality --mode hourly
    """
    from headway.cli import runs

    runs.run(
        ctx.obj, pipeline, mode, start, end, select=select, until_caught_up=until_caught_up, complete=complete
    )


@app.command()
def backfill(
    ctx: typer.Context,
    pipeline: Pipeline,
    start: Annotated[str, typer.Option(help="First instant, ISO 8601.")],
    end: Annotated[str, typer.Option(help="First instant that no longer belongs to it.")],
    mode: ModeName = "daily",
    complete: Annotated[
        bool, typer.Option("--complete", help="The log has ended, so everything is closed.")
    ] = False,
) -> None:
    """Publish a range of intervals again, in spans; call it again to go on where it stopped.

    Example: headway backfill punctuality --start 2013-01-01 --end 2014-01-01
    """
    from headway.cli import runs

    runs.backfill(ctx.obj, pipeline, mode, start, end, complete=complete)


@app.command()
def submit(
    ctx: typer.Context,
    pipeline: Pipeline,
    mode: ModeName,
    start: Start = None,
    end: End = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="A stream stops once it has read what is there now.")
    ] = False,
    complete: Annotated[
        bool, typer.Option("--complete", help="The log has ended, so everything is closed.")
    ] = False,
    as_backfill: Annotated[
        bool, typer.Option("--backfill", help="Claim the named range only, as `headway backfill` does.")
    ] = False,
    master: Annotated[str | None, typer.Option(help="Where Spark runs; that of conf/ without it.")] = None,
    deploy_mode: Annotated[str, typer.Option(help="Where the driver runs: client or cluster.")] = "client",
    resolves: Annotated[
        bool,
        typer.Option(
            "--packages", help="Name the jars by coordinates instead of sending those that are here."
        ),
    ] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print the command and run nothing.")] = False,
) -> None:
    """Run a pipeline by spark-submit, or print the command that does.

    Example: headway submit punctuality --mode continuous --master spark://host:7077 --print
    """
    from headway.cli import submits

    status = submits.submit(
        ctx.obj,
        pipeline,
        mode,
        start,
        end,
        until_caught_up=until_caught_up,
        complete=complete,
        as_backfill=as_backfill,
        master=master,
        deploy_mode=deploy_mode,
        resolves=resolves,
        only_print=only_print,
    )
    raise typer.Exit(status)


@app.command()
def verify(
    ctx: typer.Context,
    pipeline: Pipeline,
    start: Annotated[str, typer.Option(help="First instant, ISO 8601.")],
    end: Annotated[str, typer.Option(help="First instant that no longer belongs to it.")],
) -> None:
    """Run the same log through every open mode and compare row by row; leaves nothing behind.

    Example: headway verify punctuality --start 2013-02-01 --end 2013-02-03
    """
    from headway.cli import runs

    raise typer.Exit(runs.verify(ctx.obj, pipeline, start, end))


@app.command()
def compare(
    ctx: typer.Context,
    pipeline: Pipeline,
    start: Annotated[str, typer.Option(help="First instant, ISO 8601.")],
    end: Annotated[str, typer.Option(help="First instant that no longer belongs to it.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes; .headway/comparisons/ without it.")
    ] = None,
) -> None:
    """Run the same log through every open mode and measure freshness and cost; leaves only a page and its figures.

    Example: headway compare punctuality --start 2013-02-01 --end 2013-02-04
    """
    from headway.cli import compares

    raise typer.Exit(compares.compare(ctx.obj, pipeline, start, end, out))


@app.command()
def erase(
    ctx: typer.Context,
    archive: Annotated[str, typer.Argument(help="Full name of an archive, as a source names it.")],
    key: Annotated[str, typer.Option(help="The records' key: text in UTF-8, or with --hex its bytes.")],
    is_hex: Annotated[bool, typer.Option("--hex", help="The key is given in hexadecimal digits.")] = False,
) -> None:
    """Take a person's records out of an archive and the quarantine; the next runs recompute what they touched.

    Example: headway erase lake.archive.flights --key N12345
    """
    from headway.cli import runs

    runs.erase(ctx.obj, archive, key, is_hex=is_hex)


quarantine = typer.Typer(
    help="What was left out: records that are late, early, dead or break a rule, and rejected rows.",
    no_args_is_help=True,
)
app.add_typer(quarantine, name="quarantine")
OfSource = Annotated[str | None, typer.Option("--source", help="Only records of this topic or queue.")]
OfFate = Annotated[
    str | None,
    typer.Option("--fate", help="late, early, dead or rejected records, or `rule`: rows of the result."),
]
OfRule = Annotated[str | None, typer.Option("--rule", help="Only what breaks the rule with this id.")]
ArrivedFrom = Annotated[
    str | None, typer.Option("--start", help="First arrival of a record, or output time of a row.")
]
ArrivedUntil = Annotated[
    str | None, typer.Option("--end", help="First instant that no longer belongs to it.")
]


@quarantine.command("list")
def quarantine_list(ctx: typer.Context, pipeline: Pipeline) -> None:
    """Count what was left out, why, and what has become of it.  Example: headway quarantine list punctuality"""
    from headway.cli import quarantines

    quarantines.list_(ctx.obj, pipeline)


@quarantine.command("show")
def quarantine_show(
    ctx: typer.Context,
    pipeline: Pipeline,
    source: OfSource = None,
    fate: OfFate = None,
    rule: OfRule = None,
    start: ArrivedFrom = None,
    end: ArrivedUntil = None,
    limit: Annotated[int, typer.Option(help="How many to show of each kind.", min=1)] = 20,
) -> None:
    """Show some of what was left out.  Example: headway quarantine show punctuality --fate dead"""
    from headway.cli import quarantines

    wanted = quarantines.Wanted(source=source, fate=fate, rule=rule, span=ctx.obj.span(start, end))
    quarantines.show(ctx.obj, pipeline, wanted, limit)


@quarantine.command("replay")
def quarantine_replay(
    ctx: typer.Context,
    pipeline: Pipeline,
    source: OfSource = None,
    fate: OfFate = None,
    rule: OfRule = None,
    start: ArrivedFrom = None,
    end: ArrivedUntil = None,
) -> None:
    """Decide that what was left out goes through the definition and the suite as they are now, late or not.

    The next run of any mode takes it in, and recomputing never undoes it.

    Example: headway quarantine replay punctuality --rule 'not_be_null(origin)'
    """
    from headway.cli import quarantines

    wanted = quarantines.Wanted(source=source, fate=fate, rule=rule, span=ctx.obj.span(start, end))
    quarantines.replay(ctx.obj, pipeline, wanted)


suite = typer.Typer(help="Suites of Great Expectations and what they have said.", no_args_is_help=True)
app.add_typer(suite, name="suite")


@suite.command("new")
def suite_new(
    ctx: typer.Context,
    pipeline: Pipeline,
    source: Annotated[
        str | None,
        typer.Option(
            help="Parameter name of a source: propose for its admitted records instead of the result."
        ),
    ] = None,
    start: Start = None,
    end: End = None,
    per: Annotated[str, typer.Option(help="Length of the units that the suite judges.")] = "1 day",
) -> None:
    """Propose a first suite from real rows and write it to quality/, for a person to edit; replaces none.

    Example: headway suite new punctuality
    """
    from headway.cli import suites

    suites.new(ctx.obj, pipeline, source, ctx.obj.span(start, end), per)


@suite.command("docs")
def suite_docs(ctx: typer.Context) -> None:
    """Make Data Docs of the suites and of every unit's verdict, and print where.  Example: headway suite docs"""
    from headway.cli import suites

    suites.docs(ctx.obj)


@app.command()
def advise(
    ctx: typer.Context,
    pipeline: Annotated[
        str | None, typer.Argument(help="A pipeline, to add what `headway compare` has measured of it.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="YAML file of answers; without it they are asked for on the terminal.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the answers to this YAML file.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write the advice as an HTML page to hand on to this file.")
    ] = None,
    checks: Annotated[
        bool, typer.Option("--check", help="Ask Spark which modes are open to the pipeline; takes a while.")
    ] = False,
) -> None:
    """Recommend a mode from what the team answers and what was measured, with reasons and prices.

    Example: headway advise punctuality --save answers.yaml --page advice.html
    """
    from headway.cli import advices

    advices.advise(ctx.obj, pipeline, answers_file=answers, save=save, page_file=page, checks=checks)


@app.command()
def stop(ctx: typer.Context, pipeline: Pipeline) -> None:
    """Ask a running pipeline to end between two batches, and wait until it has.  Example: headway stop punctuality"""
    from headway.cli import looks

    looks.stop(ctx.obj, pipeline)


@app.command()
def demo(
    ctx: typer.Context,
    days: Annotated[
        int, typer.Option(help="How many days of 2013 to replay, from 1 February.", min=2, max=300)
    ] = 3,
) -> None:
    """Replay real flights, run each pipeline in each mode, and compare the rows.  Example: headway demo"""
    from headway.cli import demo as story

    raise typer.Exit(story.demo(ctx.obj, days))


def main() -> None:
    """Run a command; an error of headway's own ends with its exit status and no stack trace."""
    verbose = "-v" in sys.argv or "--verbose" in sys.argv
    try:
        app()
    except Error as exc:
        if verbose:
            raise
        print(f"headway: {exc}", file=sys.stderr)
        sys.exit(exc.exit_status)
    except KeyboardInterrupt:
        print("headway: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as exc:
        if verbose:
            raise
        first = str(exc).strip().splitlines()[0] if str(exc).strip() else ""
        print(
            f"headway: {type(exc).__name__}: {first}\nHint: -v before the command shows the stack trace.",
            file=sys.stderr,
        )
        sys.exit(1)
