"""The demo from beginning to end, on the terminal."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

from openai import OpenAI
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from slotel._api import instrument
from slotel._runtime import configure, flush, shutdown
from slotel.cli.demo_app.assistant import Assistant
from slotel.cli.demo_app.corpus import documents, passages
from slotel.cli.demo_app.figures import Count, counts, operation_rows, slo_rows
from slotel.cli.demo_app.library import Library
from slotel.cli.demo_app.model_server import MODEL, ModelServer
from slotel.cli.demo_app.moderator import Moderator
from slotel.cli.demo_app.receiver import OtlpReceiver
from slotel.cli.demo_app.scenario import Asked, Ending, run, steps
from slotel.cli.demo_app.tables import duration, operations_table, slo_table
from slotel.cli.demo_app.tally import Tally

SERVICE = "support-assistant"
SLOS = Path(__file__).with_name("slos.yaml")
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_DEFAULT_MODEL = "gpt-4o-mini"
# Points arrive while the demo runs, not only at its end.
_EXPORT_SECONDS = 5.0
_FLUSH_SECONDS = 10.0

_STYLES = {
    Ending.RIGHT: "green",
    Ending.WRONG: "yellow",
    Ending.REFUSED: "magenta",
    Ending.FAILED: "red",
    Ending.CANCELLED: "cyan",
}


def show(*, local_model: bool, questions: int) -> bool:
    """Run the demo and return whether every call made was measured and received.

    Args:
        local_model: Serve the model here; otherwise use the server that OPENAI_* name.
        questions: How many plain questions are asked.
    """
    console = Console(highlight=False)
    tally = Tally()
    with ExitStack() as stack:
        receiver = None if os.environ.get(_ENDPOINT) else stack.enter_context(OtlpReceiver())
        with _progress(console) as progress:
            assistant = _assistant(progress, stack, tally, local_model=local_model)
            _configure(receiver)
            stack.callback(shutdown)
            begun = time.perf_counter()
            asked = _ask_all(progress, assistant, questions=questions)
            seconds = time.perf_counter() - begun
        delivered = flush(_FLUSH_SECONDS)
        counted = counts(tally.made(), receiver)
        _report(console, asked, tally, seconds=seconds)
        return _received(console, counted, receiver, delivered=delivered)


def _progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def _assistant(
    progress: Progress, stack: ExitStack, tally: Tally, *, local_model: bool
) -> Assistant:
    client, model = _model(progress, stack, local_model=local_model)
    library = Library(tally)
    found = [passage for document in documents() for passage in passages(document)]
    reading = progress.add_task("embedding the documents", total=len(found))
    for done in library.add(found):
        progress.update(reading, completed=done)
    progress.remove_task(reading)
    moderator = Moderator(tally)
    assistant = Assistant(library, moderator, client, model, tally, options={})
    assistant.warm_up()
    progress.console.print(_opening(client, model, len(found)))
    return assistant


def _model(progress: Progress, stack: ExitStack, *, local_model: bool) -> tuple[OpenAI, str]:
    if not local_model:
        # A server of one's own may ask for no key; the client insists on one.
        client = OpenAI(api_key=os.environ.get("OPENAI_API_KEY") or "none")
        stack.callback(client.close)
        return client, os.environ.get("OPENAI_MODEL", _DEFAULT_MODEL)
    starting = progress.add_task("starting the model server", total=1)
    server = stack.enter_context(ModelServer())
    progress.remove_task(starting)
    client = OpenAI(base_url=server.base_url, api_key="none")
    stack.callback(client.close)
    return client, MODEL


def _opening(client: OpenAI, model: str, passages_read: int) -> Text:
    return Text.assemble(
        "Support assistant: ", (model, "bold"), f" at {client.base_url}\n",
        f"{passages_read} passages of {len(documents())} documents embedded; "
        "moderation and retrieval in process\n",
    )  # fmt: skip


def _configure(receiver: OtlpReceiver | None) -> None:
    if receiver is None:
        configure(service=SERVICE, slos=SLOS)
    else:
        configure(
            service=SERVICE,
            slos=SLOS,
            metrics="otlp",
            endpoint=receiver.endpoint,
            protocol="http/protobuf",
            interval_seconds=_EXPORT_SECONDS,
        )
    instrument("openai")


def _ask_all(progress: Progress, assistant: Assistant, *, questions: int) -> list[Asked]:
    planned = steps(assistant, questions=questions)
    asking = progress.add_task("asking", total=len(planned))
    asked: list[Asked] = []
    for done in run(planned):
        for one in done:
            progress.console.print(_line(one), no_wrap=True, overflow="ellipsis")
        progress.advance(asking)
        asked += done
    return asked


def _line(asked: Asked) -> Text:
    words = ": ".join(filter(None, (asked.purpose, asked.detail)))
    return Text.assemble(
        (f"{asked.ending.value:10}", _STYLES[asked.ending]),
        f"{duration(asked.seconds):>6}  ",
        words.replace("\n", " "),
    )


def _report(console: Console, asked: list[Asked], tally: Tally, *, seconds: float) -> None:
    endings = [f"{_count(asked, ending)} {ending.value}" for ending in Ending]
    console.print(f"\n{len(asked)} questions in {seconds:.0f} s: {', '.join(endings)}\n")
    console.print(operations_table(operation_rows(tally.made())))
    console.print()
    console.print(slo_table(slo_rows()))
    console.print()


def _count(asked: list[Asked], ending: Ending) -> int:
    return sum(one.ending is ending for one in asked)


def _received(
    console: Console, counted: list[Count], receiver: OtlpReceiver | None, *, delivered: bool
) -> bool:
    if receiver is None:
        outcome = "accepted" if delivered else "[bold red]did not accept[/]"
        console.print(f"The collector at {os.environ[_ENDPOINT]} {outcome} everything.")
    else:
        console.print(
            f"The collector on port {receiver.port} received {len(receiver.spans)} spans, "
            f"{len(receiver.metric_names)} metrics, {len(receiver.metrics)} points."
        )
    for count in counted:
        if not count.agrees:
            console.print(f"[bold red]{count.operation}: {count.words()}")
    agrees = all(count.agrees for count in counted)
    style = "green" if agrees else "bold red"
    console.print(f"[{style}]Calls: {Count.total(counted).words()}[/]")
    return agrees and delivered
