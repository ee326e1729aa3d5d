"""Reads `curl` commands as people copy them: from documentation, terminals and browsers.

Nothing is run: variables, and what a shell would put in their place, stay as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from attrs import define, field, frozen

from ..verification.exchanges import FormField

MOST_COMMANDS: Final = 20
MOST_SCANNED: Final = 1000
"""How many commands of a text are looked at."""
CURL: Final = re.compile(r"(?:^|[\s;|&($])curl(?:\.exe)?[\s\\^`]")
WITH_VALUE: Final = frozenset("AbCcDdEeFHhKmoPQrTtUuwXxYyz")
"""Short options that take a value."""
_SWITCHES: Final = """
    anyauth basic compressed create-dirs crlf digest disable fail fail-early fail-with-body get
    globoff head http0.9 http1.0 http1.1 http2 http2-prior-knowledge http3 include insecure ipv4
    ipv6 location location-trusted no-buffer parallel path-as-is post301 post302 post303
    progress-bar proxytunnel raw remote-header-name remote-name remote-name-all remote-time
    retry-all-errors retry-connrefused show-error show-headers silent ssl ssl-reqd tcp-nodelay
    tlsv1 tlsv1.2 tlsv1.3 tr-encoding use-ascii verbose version
"""
SWITCHES: Final = frozenset(_SWITCHES.split())
"""Long options that take no value."""
_PLAIN: Final = re.compile(r"[^\n;|()& \t\f\v#\\`'\"$<]+")
_ANSI: Final = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))", re.DOTALL
)
_LETTERS: Final = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class UnreadableCommandError(ValueError):
    """A command that cannot be read. The text says why, and repeats nothing of it."""


@define
class CurlCommand:
    """What one command would send."""

    method: str = ""
    url: str = ""
    headers: dict[str, str] = field(factory=dict)
    """By lower-case names."""
    data: list[str] = field(factory=list)
    form: list[FormField] = field(factory=list)
    is_json: bool = False
    """Whether the data are parts of one JSON text (`--json`)."""
    absent: list[str] = field(factory=list)
    """The names of files that the body is in, which were not pasted."""

    @property
    def body(self) -> str:
        """The data as one text."""
        return ("" if self.is_json else "&").join(self.data)


def is_curl(text: str) -> bool:
    """Whether a text has a command that curl would run."""
    return CURL.search(text) is not None


def curl_commands(text: str) -> list[CurlCommand]:
    """The commands of curl in a text, at most 20. Raises UnreadableCommandError."""
    if re.search(r'\^["\r\n]', text):  # as the command prompt of Windows escapes
        text = re.sub(r"\^(\r?\n|.)", lambda found: found[1].strip("\r\n"), text, flags=re.DOTALL)
    found = list[CurlCommand]()
    for words in islice(_Words(text.replace("\r\n", "\n")).commands(), MOST_SCANNED):
        starts = [at for at, one in enumerate(words.words) if one in {"curl", "curl.exe"}]
        if starts and len(found) < MOST_COMMANDS:
            found.append(_command(words.words[starts[0] + 1 :], words.stdin))
    return found


# -- words -----------------------------------------------------------------------------------------


@frozen
class ShellWords:
    """The words of one command, and what a here-document gives it."""

    words: list[str]
    stdin: str | None


@define
class _Words:
    """Splits a text into commands, and those into words, as a POSIX shell does."""

    text: str
    at: int = 0
    words: list[str] = field(factory=list)
    word: list[str] | None = None
    ends: list[str] = field(factory=list)
    """The ends of here-documents that begin with the next line."""
    stdin: str | None = None

    def commands(self) -> Iterator[ShellWords]:
        """Every command."""
        while self.at < len(self.text):
            if plain := _PLAIN.match(self.text, self.at):
                self.at = plain.end()
                self._add(plain[0])
                continue
            character = self.text[self.at]
            self.at += 1
            if character in "\n;|()" or (character == "&" and self.word is None):
                yield from self._ended(is_line=character == "\n")
            elif character in " \t\f\v":
                self._end_word()
            elif character == "#" and self.word is None:
                self.at = self._until("\n")
            elif character in "\\`":
                self._escaped(character)
            elif character == "'":
                self._add(self._quoted("'"))
            elif character == '"':
                self._add(self._in_double_quotes())
            elif character == "$" and self.text[self.at : self.at + 1] == "'":
                self.at += 1
                self._add(_unescaped(self._quoted("'", escapes=True)))
            elif character == "$" and self.text[self.at : self.at + 1] == "(":
                self.at += 1
                yield from self._ended(is_line=False)
            elif character == "<" and (found := self._here_document()):
                self._end_word()
                self.ends.append(found)
            else:
                self._add(character)
        yield from self._ended(is_line=False)

    def _add(self, text: str) -> None:
        if self.word is None:
            self.word = []
        self.word.append(text)

    def _end_word(self) -> None:
        if self.word is not None:
            self.words.append("".join(self.word))
        self.word = None

    def _ended(self, *, is_line: bool) -> Iterator[ShellWords]:
        self._end_word()
        while is_line and self.ends:
            self.stdin = self._document(self.ends.pop(0))
        if self.words and not (self.ends and not is_line):
            yield ShellWords(self.words, self.stdin)
            self.words, self.stdin = [], None

    def _until(self, mark: str) -> int:
        found = self.text.find(mark, self.at)
        return len(self.text) if found < 0 else found

    def _escaped(self, character: str) -> None:
        """A backslash; or a backtick, with which PowerShell goes on in the next line."""
        rest = self.text[self.at : self.at + 1]
        if rest == "\n":
            self.at += 1
        elif character == "`":
            self._add(character)
        else:
            self.at += 1
            self._add(rest)

    def _quoted(self, end: str, *, escapes: bool = False) -> str:
        begin = self.at
        while self.at < len(self.text):
            if escapes and self.text[self.at] == "\\":
                self.at += 1
            elif self.text[self.at] == end:
                self.at += 1
                return self.text[begin : self.at - 1]
            self.at += 1
        raise UnreadableCommandError("a quote is opened, and not closed")

    def _in_double_quotes(self) -> str:
        text = self._quoted('"', escapes=True)
        return re.sub(r'\\([$`"\\\n])', lambda found: found[1].strip("\n"), text)

    def _here_document(self) -> str | None:
        """The end of a here-document that begins here."""
        found = re.compile(r"<-?[ \t]*(['\"]?)(\w+)\1").match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[2]

    def _document(self, end: str) -> str:
        lines = []
        while self.at < len(self.text):
            stop = self._until("\n")
            line, self.at = self.text[self.at : stop], stop + 1
            if line.strip() == end:
                break
            lines.append(line)
        return "\n".join(lines)


def _unescaped(text: str) -> str:
    """What stands between `$'` and `'`, as browsers write it."""

    def one(found: re.Match[str]) -> str:
        number = found[1] or found[2] or found[3]
        if number or found[4]:
            code = int(number, 16) if number else int(found[4], 8)
            return chr(code) if code < 0x110000 else "\ufffd"
        return _LETTERS.get(found[5], found[5])

    plain = _ANSI.sub(one, text)
    # Two halves of one character are written one after the other.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# -- options ---------------------------------------------------------------------------------------


def _command(words: Sequence[str], stdin: str | None) -> CurlCommand:
    """What the words after `curl` say."""
    made, is_get = CurlCommand(), False
    for name, value in _options(words):
        if name in {"url", ""}:
            made.url = made.url or value
        elif name in {"X", "request"}:
            made.method = value.upper()
        elif name in {"H", "header"}:
            header, _, text = value.partition(":")
            made.headers[header.strip().lower()] = text.strip()
        elif name in {"d", "data", "data-raw", "data-binary", "data-ascii", "json"}:
            made.is_json |= name == "json"
            _add_data(made, name, value, stdin)
        elif name in {"F", "form", "form-string"}:
            made.form.append(_form_field(value, plain=name == "form-string"))
        is_get |= name in {"G", "get"}
    if made.is_json:
        made.headers.setdefault("content-type", "application/json")
    has_body = bool(made.data or made.form or made.absent) and not is_get
    made.method = made.method or ("POST" if has_body else "GET")
    return made


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options with their values, and URLs without a name."""
    rest = iter(words)
    for word in rest:
        if word[:2] == "--" and len(word) > 2:
            name, has_value, value = word[2:].partition("=")
            if not has_value and name not in SWITCHES and name[:3] != "no-":
                value = next(rest, "")
            yield name, value
        elif word[:1] == "-" and len(word) > 1:
            yield from _short_options(word[1:], rest)
        elif word:
            yield "", word


def _short_options(letters: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Short options in one word, the last of which may take a value: `-sSXPOST`."""
    for number, letter in enumerate(letters, 1):
        if letter in WITH_VALUE:
            yield letter, letters[number:] or next(rest, "")
            return
        yield letter, ""


def _add_data(made: CurlCommand, name: str, value: str, stdin: str | None) -> None:
    if value[:1] != "@" or name == "data-raw":
        made.data.append(value)
    elif value[1:] in {"-", "/dev/stdin"} and stdin is not None:
        made.data.append(stdin)
    else:
        made.absent.append(value[1:])


def _form_field(value: str, *, plain: bool) -> FormField:
    """A part of a form. A file is its path, as the request would name it."""
    name, _, text = value.partition("=")
    if not plain and text[:1] in {"@", "<"}:
        text = text[1:].partition(";")[0].strip('"')
    return FormField(name, text)
