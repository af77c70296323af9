"""The exporters' own log lines are held back on one thread, and on no other."""

from __future__ import annotations

import logging
import threading

from slotel.export.log_filter import ThreadFilter

HTTP = "opentelemetry.exporter.otlp.proto.http.metric_exporter"
GRPC = "opentelemetry.exporter.otlp.proto.grpc.exporter"


def on_another_thread(work) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_lines_of_the_thread_are_held_back_and_the_last_is_kept(caplog):
    """The reason of a failure is told once, in our own words."""
    held = ThreadFilter()
    held.install()
    try:
        logging.getLogger(HTTP).error("Failed to export %s batch", "metrics")
        logging.getLogger(GRPC).debug("not a reason")
    finally:
        held.remove()
    assert caplog.messages == []
    assert held.reason == "Failed to export metrics batch"


def test_lines_of_other_threads_pass(caplog):
    """The user's own exporter is theirs to hear of."""
    held = ThreadFilter()
    held.install()
    try:
        on_another_thread(lambda: logging.getLogger(HTTP).error("the user's exporter failed"))
    finally:
        held.remove()
    assert caplog.messages == ["the user's exporter failed"]
    assert held.reason == ""


def test_other_loggers_of_the_thread_pass(caplog):
    """Only the exporters are silenced, not what their user logs."""
    held = ThreadFilter()
    held.install()
    try:
        logging.getLogger("application").error("mine")
    finally:
        held.remove()
    assert caplog.messages == ["mine"]


def test_nothing_is_left_behind(caplog):
    """After `remove`, which may be called twice, everything passes."""
    held = ThreadFilter()
    held.install()
    held.remove()
    held.remove()
    logging.getLogger(HTTP).error("heard")
    assert caplog.messages == ["heard"]
    assert held not in logging.getLogger(HTTP).filters


def test_the_reason_is_seen_though_a_filter_of_the_exporter_drops_the_line():
    """The SDK drops lines that repeat themselves, whichever exporter wrote the first."""
    logger = logging.getLogger(GRPC)
    logger.addFilter(drop_everything)
    held = ThreadFilter()
    held.install()
    try:
        logger.warning("Transient error")
    finally:
        held.remove()
        logger.removeFilter(drop_everything)
    assert held.reason == "Transient error"


def drop_everything(_: logging.LogRecord) -> bool:
    return False
