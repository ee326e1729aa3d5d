"""Texts that would run a script, load something or call somebody where a page shows them as they
are.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

MARK: Final = "__hit"
"""The member of `window` that each of them would set."""
AROUND: Final = (
    "{}",
    '">{}',
    "'>{}",
    "</textarea>{}",
    "</title>{}",
    "</script>{}",
    "</pre></code>{}",
    "-->{}",
    "]]>{}",
    "{}<!--",
)
"""What would end the place in which a text stands."""
SCRIPTS: Final = (
    "<script>window.__hit=1</script>",
    "<ScRiPt >window.__hit=1</sCrIpT >",
    "<img src=x onerror=window.__hit=1>",
    '<img src="x" onerror="window.__hit=1">',
    "<svg onload=window.__hit=1>",
    "<svg><script>window.__hit=1</script></svg>",
    "<svg><animate onbegin=window.__hit=1 attributeName=x dur=1s>",
    "<body onload=window.__hit=1>",
    "<input autofocus onfocus=window.__hit=1>",
    "<details open ontoggle=window.__hit=1>",
    "<video><source onerror=window.__hit=1></video>",
    "<iframe srcdoc='<script>parent.__hit=1</script>'></iframe>",
    '<iframe src="javascript:parent.__hit=1"></iframe>',
    '<a href="javascript:window.__hit=1" autofocus>x</a>',
    '<form action="javascript:window.__hit=1"><button autofocus>x</button></form>',
    "<object data='data:text/html,<script>window.__hit=1</script>'></object>",
    "<div hx-get='/plans' hx-trigger='load' hx-on::load='window.__hit=1'></div>",
    "<style>@import 'http://192.0.2.1/x.css';</style>",
    "<base href='http://192.0.2.1/'>",
    "{{ 7 * 7 }}{% print(window.__hit) %}<math><mtext></mtext><mglyph onclick=__hit=1>",
)
PAYLOADS: Final = tuple(around.replace("{}", script) for around in AROUND for script in SCRIPTS)
"""Two hundred texts."""


class Foreign(HTMLParser):
    """What of a page runs, or loads, though the templates of the studio have nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        given = dict(attrs)
        if tag in {"iframe", "object", "embed", "style", "base", "math", "animate", "body"}:
            self.found += [tag] if tag != "body" or "onload" in given else []
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.found.append("script")
        for name, value in attrs:
            if name.startswith(("on", "hx-on")) or name == "style":
                self.found.append(f"{tag} {name}")
            if (value or "").strip().lower().startswith(("javascript:", "vbscript:")):
                self.found.append(f"{tag} {name}={value}")


def foreign(page: str) -> list[str]:
    """What stands in a page that runs or loads something that is not the studio's."""
    parser = Foreign()
    parser.feed(page)
    parser.close()
    return parser.found
