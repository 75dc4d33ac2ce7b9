"""Requests to a server, and every byte of the answer."""

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    broken: str = ""  # the name of the exception that ended the reading

    @property
    def events(self) -> list[Any]:
        """The ``data:`` payloads, decoded where they are JSON."""
        lines = [line for line in self.body.decode().replace("\r\n", "\n").split("\n") if line.startswith("data:")]
        payloads = [line.removeprefix("data:").strip() for line in lines]
        return [json.loads(p) if p.startswith("{") else p for p in payloads]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Post = Callable[..., Reply]


def ask(url: str, path: str, body: Any = None, fault: str = "", **headers: str) -> Reply:
    """POST ``body`` as JSON (GET without one) on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    head = {"Content-Type": "application/json", **headers, **({"X-Simulator-Fault": fault} if fault else {})}
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request("POST" if body is not None else "GET", path, data, head)
        response = connection.getresponse()
        got = dict(response.getheaders())
        try:
            return Reply(response.status, got, response.read())
        except http.client.IncompleteRead as error:
            return Reply(response.status, got, error.partial, "IncompleteRead")
        except ConnectionError as error:
            return Reply(response.status, got, b"", type(error).__name__)
    except (http.client.HTTPException, ConnectionError) as error:
        return Reply(0, {}, b"", type(error).__name__)
    finally:
        connection.close()
