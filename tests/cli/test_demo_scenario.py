"""The assistant and its users against a scripted model server on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

openai = pytest.importorskip("openai")

from slotel._api import percentiles, summary  # noqa: E402
from slotel.cli.demo_app.assistant import JOURNEY, AbusiveQuestionError, Assistant  # noqa: E402
from slotel.cli.demo_app.model_server import ModelServerError  # noqa: E402
from slotel.cli.demo_app.questions import ABUSIVE, QUESTIONS, Question  # noqa: E402
from slotel.cli.demo_app.scenario import CROWD, Ending, run, steps  # noqa: E402
from slotel.cli.demo_app.tally import Tally  # noqa: E402

pytestmark = pytest.mark.loopback

ANSWER = ["The", "caller", "of", "rmtree"]
FIRST_WORD_SECONDS = 0.6


class ModelServer(BaseHTTPRequestHandler):
    """Streams the same answer to everybody, after the time that a first word takes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self.refuse(404)
        if asked.get("response_format", {}).get("type") == "nonsense":
            return self.refuse(400)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        time.sleep(FIRST_WORD_SECONDS)
        try:
            for word in ANSWER:
                self.say({"delta": {"content": f"{word} "}, "index": 0, "finish_reason": None})
            self.say({"delta": {}, "index": 0, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # The user has gone.
        self.close_connection = True
        return None

    def say(self, choice: dict) -> None:
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "m",
            "choices": [choice],
        }
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def refuse(self, status: int) -> None:
        body = b'{"error": {"message": "no"}}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Library:
    """Finds nothing."""

    def find(self, question: Question) -> list:
        return []


class Moderator:
    """Flags what is rude."""

    def flags(self, text: str) -> bool:
        return text in ABUSIVE

    def probability(self, text: str) -> float:
        return 0.0


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ModelServer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def assistant(base_url: str) -> Iterator[Assistant]:
    with openai.OpenAI(base_url=base_url, api_key="none") as client:
        yield Assistant(Library(), Moderator(), client, "m", Tally(), {})


def journeys() -> Counter[str]:
    counted: Counter[str] = Counter()
    for row in summary():
        if row.operation == JOURNEY:
            counted[row.outcome] += row.count
    return counted


def test_an_answer_is_streamed_and_judged(assistant):
    """The pieces of the stream are joined and searched for the fact."""
    answer = assistant.ask(Question("Who?", frozenset(), r"\bcaller\b"))
    assert answer.text.strip() == " ".join(ANSWER)
    assert answer.correct is True
    assert assistant.ask(Question("Who?", frozenset(), r"nobody")).correct is False


def test_answer_correct_is_a_score_of_the_journey(assistant):
    """Each judged answer leaves one score, 1 for right and 0 for wrong."""
    before = percentiles(JOURNEY, (50,), metric="score.answer_correct").count
    assistant.ask(Question("Who?", frozenset(), r"\bcaller\b"))
    assert percentiles(JOURNEY, (50,), metric="score.answer_correct").count == before + 1


def test_an_abusive_question_is_refused_before_anything_is_asked(assistant):
    """The refusal is the application's own policy: the journey is rejected, not failed."""
    before = journeys()
    with pytest.raises(AbusiveQuestionError):
        assistant.ask(Question(ABUSIVE[0], frozenset(), ""))
    assert journeys() - before == {"rejected": 1}
    assert assistant.tally.made() == {JOURNEY: 1}


def test_a_user_who_stops_reading_gets_what_came(assistant):
    """The stream is closed after that many pieces, and the answer is not judged."""
    answer = assistant.ask(QUESTIONS[0], patience_chunks=2)
    assert (answer.text, answer.correct) == ("The caller ", None)


def test_warming_up_counts_no_call(assistant):
    """What is loaded beforehand is no user's call."""
    before = journeys()
    assistant.warm_up()
    assert (assistant.tally.made(), journeys()) == ({}, before)


def test_a_model_server_that_refuses_is_said_before_anyone_asks(assistant):
    """A wrong address or key ends the demo in one line, with the server's own words."""
    client = assistant.client.with_options(base_url=f"{assistant.client.base_url}nowhere")
    with pytest.raises(ModelServerError, match=r"at http://.*/nowhere/ does not serve m: .*404"):
        assistant.using(client).warm_up()


def test_every_mishap_ends_as_planned(assistant):
    """Refused, failed, cancelled and crowded calls all happen, and each is measured once."""
    before = journeys()
    asked = [one for done in run(steps(assistant, questions=2)) for one in done]
    endings = Counter(one.ending for one in asked)
    assert endings[Ending.REFUSED] == len(ABUSIVE)
    assert endings[Ending.CANCELLED] == 2
    assert {one.detail for one in asked if one.ending is Ending.FAILED} == {
        "NotFoundError",
        "APITimeoutError",
        "BadRequestError",
    }
    assert endings[Ending.RIGHT] + endings[Ending.WRONG] == 2 + CROWD
    assert all(one.seconds > 0 for one in asked)
    # A stream that the user closed cancels the chat, not the journey, which has its answer.
    assert journeys() - before == {
        "success": 2 + CROWD + 1,
        "error": 3,
        "cancelled": 1,
        "rejected": 3,
    }
    assert assistant.tally.made()[JOURNEY] == len(asked) == 14


@pytest.mark.parametrize("questions", [1, 5, 12, len(QUESTIONS)])
def test_all_mishaps_are_planned_among_any_number_of_questions(assistant, questions):
    """Fewer questions leave out plain ones only."""
    assert len(steps(assistant, questions=questions)) == questions + 9
