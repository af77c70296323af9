"""Moderation: a real classifier (a linear SVM over word n-grams) that flags abusive text."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

from slotel._api import moderation
from slotel.cli.demo_app.tally import Tally

MODERATION_MODEL = "alt-profanity-check"
FLAGGED_FROM = 0.8
_CHECK = moderation(model=MODERATION_MODEL, provider="scikit-learn")


class Moderator:
    """The classifier. Any thread may ask it.

    Args:
        tally: Counts the calls made.
    """

    def __init__(self, tally: Tally) -> None:
        self._classifier: Any = import_module("profanity_check")  # no types; loads its model
        self._tally = tally
        self._lock = threading.Lock()

    def flags(self, text: str) -> bool:
        """Return whether the text is abusive."""
        self._tally.count("moderation")
        with _CHECK as call:
            probability = self.probability(text)
            flagged = probability >= FLAGGED_FROM
            call.verdict(flagged=flagged, categories={"profanity": probability})
        return flagged

    def probability(self, text: str) -> float:
        """Return how likely the text is abusive, 0..1."""
        with self._lock:
            return float(self._classifier.predict_prob([text])[0])
