"""Telling a web server of alerts."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

from headway.telemetry.events import Crossed, Event

__all__ = ["Webhook"]

_PATIENCE = 10.0


class Webhook:
    """Posts each crossing of the freshness threshold as JSON; its `text` is what chat programs show."""

    def __init__(
        self,
        url: str,
        *,
        run: str,
        pipeline: str,
        mode: str,
        say: Callable[[str], None],
        patience: float = _PATIENCE,
    ) -> None:
        """Say where.

        Args:
            url: Where to post; it may hold a secret and is never shown.
            run: Id of the run.
            pipeline: Its name.
            mode: Its mode.
            say: Told in words where a post does not arrive.
            patience: Seconds that a post may take.
        """
        self._url = url
        self._known = {"run": run, "pipeline": pipeline, "mode": mode}
        self._say = say
        self._patience = patience
        self._posting: list[threading.Thread] = []

    def take(self, event: Event) -> None:
        """See `headway.telemetry.telemetry.Listener`; the post goes out on a thread of its own."""
        if not isinstance(event, Crossed) or not event.is_news:
            return
        body = {"text": event.text(), "event": event.name, **self._known, **event.facts()}
        thread = threading.Thread(target=self._post, args=(body,), name="headway-webhook", daemon=True)
        self._posting.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait for posts that are on their way; none takes longer than its patience."""
        for thread in self._posting:
            thread.join()

    def _post(self, body: dict[str, object]) -> None:
        try:
            request = urllib.request.Request(  # noqa: S310 conf/ takes http and https only
                self._url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=self._patience):  # noqa: S310
                pass
        except urllib.error.HTTPError as exc:
            self._say(f"the webhook of alerts has refused an alert: status {exc.code}")
        except Exception as exc:  # noqa: BLE001 what is not caught here is printed, with the URL
            why = exc.reason if isinstance(exc, urllib.error.URLError) else exc
            self._say(f"the webhook of alerts was not reached: {type(why).__name__}")
