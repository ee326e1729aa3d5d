"""Snippets for a POSIX shell: the vendor's own call, the command line, and a call to a gateway."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from attrs import Factory, define, field, frozen

from ..flows import Now, Part, Put, Reply, Send
from ..jobs.uploading import content_name
from ..mapping import media
from ..mapping.flags import ROWS_ONLY, flag_of
from ..mapping.media import SUFFIXES
from ..mapping.reports import Allowance
from ..mapping.textfiles import STANDARD_INPUT
from ..places import JsonObject, json_bytes, leaves
from ..plans.attachments import replaced
from ..plans.planning import Plan
from ..providers.base.calling import key_scheme_of
from ..providers.base.provider import Provider
from ..serving.calls import MAX_JSON_BYTES
from ..simulator.server import mounts
from .literals import WIDTH, is_plain, json_text

LONGEST_ARGUMENT: Final = 100_000
"""Bytes: Linux takes 131,071 in one argument. What is longer goes through a pipe."""
LONGEST_FLAG: Final = 4000
"""Characters of a value on the command line. What is longer stands in a file."""
KEY: Final = "key-of-the-vendor"
"""What stands for the key until its variable takes its place."""
SIMULATOR: Final = "http://127.0.0.1:8765"
GATEWAY: Final = "http://127.0.0.1:8770"
QUIET: Final = ("--silent", "--show-error", "--fail-with-body")


def command(begin: str, words: Sequence[str]) -> str:
    """A command of words that are quoted already: on several lines where one is too short."""
    line = " ".join([begin, *words])
    return (
        line if len(line) <= WIDTH and "\n" not in line else " \\\n  ".join([begin, *_lines(words)])
    )


def _lines(words: Sequence[str]) -> Iterator[str]:
    """The words, each option in one line with its value."""
    rest = [*words]
    while rest:
        word = rest.pop(0)
        has_value = word.startswith("--") and "=" not in word and rest and rest[0][:2] != "--"
        yield f"{word} {rest.pop(0)}" if has_value else word


@frozen
class Spliced:
    """A text for a shell, parts of which are what variables or commands give."""

    text: str
    values: Mapping[str, str] = Factory(dict)
    """Expansions of the shell, by the marks in the text that they stand for."""

    def quoted(self) -> str:
        """The text in quoted pieces, which follow one another without a blank between."""
        pattern = "|".join(map(re.escape, self.values)) or "(?!)"
        pieces = re.split(f"({pattern})", self.text)
        return "".join(
            f'"{self.values[piece]}"' if piece in self.values else shlex.quote(piece)
            for piece in pieces
            if piece
        )

    @property
    def is_long(self) -> bool:
        """Whether it can be too long for an argument of a program."""
        reads_files = any("$(" in one for one in self.values.values())
        return reads_files or len(self.text.encode()) > LONGEST_ARGUMENT


def posted(begin: str, words: Sequence[str], content: Spliced) -> str:
    """A curl command that sends a body; a long one by way of its standard input."""
    if not content.is_long:
        return command(begin, [*words, "--data-raw", content.quoted()])
    # printf is a part of the shell, and takes what no argument of a program can hold.
    return f"printf %s {content.quoted()} |\n  " + command(begin, [*words, "--data-binary", "@-"])


def _marks(text: str, count: int) -> list[str]:
    """Texts of letters, which are the same within JSON, and do not occur in a text."""
    salt = "FILE"
    while salt in text:
        salt += "X"
    return [f"{salt}{number}Z" for number in range(1, count + 1)]


def _headers(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        yield "--header"
        yield shlex.quote(f"{name}: {value}")


# -- the vendor's own call -------------------------------------------------------------------------


def curl(plan: Plan) -> str:
    """The paid call of a plan, after the uploads that it needs."""
    return _CurlWriter(plan).text()


@define
class _CurlWriter:
    """Writes the calls of one plan."""

    plan: Plan
    lines: list[str] = field(factory=list)
    files: dict[str, str] = field(factory=dict)
    """The paths of files whose content was given in the request, by the digest of the content."""
    links: dict[str, str] = field(factory=dict)
    """The variables with the links of uploaded files, by the digest of their content."""

    def text(self) -> str:
        """All lines."""
        plan, step = self.plan, self.plan.step()
        mount = mounts([plan.vendor])[plan.vendor]
        self.lines += [
            "# Paid: this goes to the vendor. Unpaid, while `polyreel simulate` runs: put",
            f"# {SIMULATOR}{mount} in the place of {plan.base_url}",
        ]
        begin, words = _begin(step), self._words(step)
        if step.parts:
            self.lines.append("# The body is a form, as files go along with it.")
            form = [word for part in step.parts for word in self._part(part)]
            return "\n".join([*self.lines, command(begin, [*words, *form])])
        variables = {one.target: self._uploaded(one.file) for one in plan.uploads}
        marks = dict(zip(variables, _marks(plan.content.decode(), len(variables)), strict=True))
        body = json_bytes(replaced(plan.body, marks)) if marks else plan.content
        values = {mark: f"${variables[target]}" for target, mark in marks.items()}
        return "\n".join([*self.lines, posted(begin, words, Spliced(body.decode(), values))])

    def _words(self, step: Send) -> list[str]:
        """What every call to the vendor has: the key comes from its variable."""
        words, provider = list[str](), self.plan.provider
        for name, value in key_scheme_of(provider.contract).headers(KEY).items():
            if KEY in value:
                text = value.replace(KEY, f"${provider.key_variable}")
                words += ["--header", f'"{name}: {text}"']
            else:
                words += _headers({name: value})
        # A key that tells repeats apart belongs to one run of a program.
        plain = {k: v for k, v in step.headers.items() if "idempotency" not in k.lower()}
        return [*words, *_headers(plain)]

    def _part(self, part: Part) -> list[str]:
        """One part of a form."""
        if not part.is_file:
            return ["--form-string", shlex.quote(f"{part.name}={part.text or ''}")]
        kind = part.content_type or "application/octet-stream"
        name = part.filename or f"file{SUFFIXES.get(kind, '')}"
        path = self._path(part).replace("\\", "\\\\").replace('"', '\\"')
        return ["--form", shlex.quote(f'{part.name}=@"{path}";type={kind};filename={name}')]

    def _path(self, part: Part) -> str:
        """Where a file is; a content that was given is written into one."""
        if part.path is not None:
            return str(part.path)
        digest = part.digest()
        if digest not in self.files:
            name = f"file-{len(self.files) + 1}{SUFFIXES.get(part.content_type or '', '')}"
            self.files[digest] = name
            content = base64.encodebytes(part.content or b"").decode()
            self.lines.append(f"base64 --decode > {name} <<'END'\n{content}END")
        return self.files[digest]

    def _uploaded(self, file: Part) -> str:
        """The variable with the link of a file, which is uploaded first."""
        digest = file.digest()
        if digest in self.links:
            return self.links[digest]
        number = len(self.links) + 1
        answer, variable = f"ANSWER_{number}", f"LINK_{number}"
        self.links[digest] = variable
        self.lines.append(f"# Upload {number}, which costs nothing, and needs jq for the link.")
        calls, link = _upload_calls(self.plan.provider, file, content_name(file, digest))
        example: JsonObject = {}
        for step, answered in calls:
            if isinstance(step, Put):
                self.lines += [_read(answer, example, step.url, target := f"TARGET_{number}")]
                kind = file.content_type or "application/octet-stream"
                path = shlex.quote(self._path(file))
                words = [*_headers({"Content-Type": kind}), "--data-binary", f"@{path}"]
                begin = f'curl --request {step.method} "${target}"'
                self.lines.append(command(begin, [*QUIET, *words]))
            else:
                words = [*QUIET, *self._words(step)]
                words += [word for part in step.parts for word in self._part(part)]
                if step.content is not None:
                    words += ["--data-raw", shlex.quote(step.content.decode())]
                self.lines.append(f"{answer}=$({command(_begin(step), words)})")
                example = answered
        self.lines.append(_read(answer, example, link, variable))
        return variable


def _begin(step: Send) -> str:
    """How the command of a call begins."""
    url = step.url + (f"?{urlencode(step.params)}" if step.params else "")
    return f"curl --request {step.method} {shlex.quote(url)}"


def _upload_calls(
    provider: Provider, file: Part, name: str
) -> tuple[list[tuple[Send | Put, JsonObject]], str]:
    """The calls that upload a file, each with the answer that its spec gives as the example.

    The second value is the link that the example has for the file.
    """
    calls: list[tuple[Send | Put, JsonObject]] = []
    flow = provider.upload(file, name)
    given: Reply | float | None = None
    try:
        while True:
            step = flow.send(given)
            if isinstance(step, Send):
                example = _example(provider, step)
                calls.append((step, example))
                given = Reply(200, {}, json_bytes(example))
            elif isinstance(step, Put):
                calls.append((step, {}))
                given = Reply(200, {}, b"")
            else:
                given = 0.0 if isinstance(step, Now) else None
    except StopIteration as done:
        return calls, str(done.value)


def _example(provider: Provider, step: Send) -> JsonObject:
    """How the spec says that a call is answered where all goes well."""
    contract = provider.contract
    return next(
        body
        for one in contract.operations.values()
        if (one.method, one.server + one.path) == (step.method, step.url)
        for status, _, _, body in contract.replies(one)
        if status < 300 and isinstance(body, dict)
    )


def _read(answer: str, example: JsonObject, wanted: str, variable: str) -> str:
    """A line that reads a value out of an answer, from where the example has it."""
    place = next(at for at, value in leaves(example) if value == wanted)
    path = "".join(f"[{one}]" if one.isdecimal() else f".{one}" for one in place[1:].split("/"))
    return f'{variable}=$(printf %s "${answer}" | jq --raw-output {shlex.quote(path)})'


# -- a gateway -------------------------------------------------------------------------------------


def gateway(request: JsonObject, vendor: str, allow: Mapping[str, Allowance]) -> str:
    """A call for a job to a gateway, in the shared words; files go along as their content."""
    body: JsonObject = {"request": request, "vendors": [vendor]}
    if allow:
        body["allow"] = dict(allow)
    files = {f"/request{at}": file for at, file in _local_files(request)}
    marks = _marks(json_text(body), len(files))
    values, filled = {}, {}
    for mark, (at, file) in zip(marks, files.items(), strict=True):
        values[mark] = f"$(base64 < {shlex.quote(str(file.path))} | tr -d '\\n')"
        filled[at] = f"data:{file.content_type};base64,{mark}"
    content = Spliced(json_text(replaced(body, filled)), values)
    words = ["--header", '"Authorization: Bearer ${GATEWAY_TOKEN:-any-key}"']
    words += _headers({"Content-Type": "application/json"})
    lines = [
        "# Simulated, where `polyreel gateway` runs without --live. GATEWAY_TOKEN is one of",
        "# `polyreel gateway tokens`, where it asks for one.",
    ]
    size = sum(4 * file.size // 3 for file in files.values()) + len(content.text.encode())
    if size > MAX_JSON_BYTES:
        lines.append(
            f"# A call has {MAX_JSON_BYTES} bytes at most: put these files at a URL first."
        )
    begin = f"curl --request POST {GATEWAY}/v1/jobs"
    return "\n".join([*lines, posted(begin, words, content)])


def _local_files(request: JsonObject) -> Iterator[tuple[str, media.LocalFile]]:
    """The files that a request names by their paths, each with its place."""
    for _, at, value, kind in media.inputs(request):
        if media.is_local(value) and not media.is_inline(value):
            found = media.look(value, kind)
            if found is not None and found.path is not None:
                yield at, found


# -- the command line ------------------------------------------------------------------------------


def command_line(
    request: JsonObject, vendor: str, key_variable: str, allow: Mapping[str, Allowance]
) -> str:
    """`polyreel generate` with a flag for each field, or with a file where only that holds it."""
    lines = [f"# Simulated. It costs money with --live, and with the key in {key_variable}."]
    options = ["--vendor", vendor]
    for name, what in allow.items():
        options += ["--allow", f"{name}={what}"]
    if (flags := _flags(request)) is None:
        lines.append(f"cat > clip.json <<'JSON'\n{json_text(request, indent=2)}\nJSON")
        return "\n".join([*lines, command("polyreel generate --request clip.json", options)])
    # Without it, the command line would ask for the size and sound that all vendors make.
    words = [*flags, *options, "--vendor-defaults"]
    begin, prompt = "polyreel generate", request.get("prompt")
    if prompt is not None and prompt[:1] != "-":
        begin += f" {shlex.quote(prompt)}"
    elif prompt is not None:
        words += ["--", shlex.quote(prompt)]  # no option begins after the two dashes
    return "\n".join([*lines, command(begin, words)])


def _flags(request: JsonObject) -> list[str] | None:
    """The flags of all fields but the prompt; None where only a file can hold the request."""
    if not ROWS_ONLY.isdisjoint(request) or request.get("prompt") == STANDARD_INPUT:
        return None
    found: list[str] = []
    for name, value in request.items():
        for item in value if isinstance(value, list) else [value]:
            text, flag = str(item), flag_of(name)
            if isinstance(item, dict) or not is_plain(text) or len(text) > LONGEST_FLAG:
                return None
            if name == "prompt":
                continue
            if isinstance(item, bool):
                found.append(flag if item else f"--no-{flag[2:]}")
            elif text[:1] == "-":  # a word of its own would be another option
                found.append(shlex.quote(f"{flag}={text}"))
            else:
                found += [flag, shlex.quote(text)]
    return found
