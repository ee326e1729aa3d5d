"""Relay status queries to a gateway, and say `"object": "video"` in the answers, without which
LiteLLM refuses them.

It prints its base URL and serves until killed; `--base-url` is that of the gateway, up to the part
before /videos/{id}.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

KEPT: Final = threading.local()
"""The connection to the gateway, one for each thread: a thread serves one connection of a client.
"""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


def relayed(base_url: str) -> type[BaseHTTPRequestHandler]:
    """What serves one connection."""
    address = urlsplit(base_url)

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            status, answer = self.asked()
            body = json.dumps({**answer, "object": "video"} if status == 200 else answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def asked(self) -> tuple[int, dict[str, Any]]:
            if not hasattr(KEPT, "connection"):
                KEPT.connection = http.client.HTTPConnection(
                    address.hostname or "", address.port, timeout=30
                )
            headers = {"Authorization": self.headers.get("Authorization", "")}
            KEPT.connection.request("GET", address.path.rstrip("/") + self.path, headers=headers)
            response = KEPT.connection.getresponse()
            return response.status, json.loads(response.read())

        def log_message(self, *_: object) -> None:
            pass

    return Relay


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", required=True)
    options = parser.parse_args()
    with Server(("127.0.0.1", 0), relayed(options.base_url)) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
