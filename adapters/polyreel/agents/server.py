"""The tools over the Model Context Protocol, by its official SDK: standard streams, or HTTP."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import LedgerError, MissingExtraError, PolyreelError, UnknownNameError
from ..ledger.records import LedgerEntry
from ..places import JsonObject

if TYPE_CHECKING:
    from mcp.server import Server

    from .tools import AgentTools

SCHEME: Final = "polyreel://clips/"
MOST_BYTES: Final = 32 * 2**20
"""The largest file that is sent as a resource; of a larger one, its path is told."""
LISTED: Final = 50
"""How many jobs, the newest, have their files in the list of resources."""


def check_installed() -> None:
    """Raise MissingExtraError where the SDK is not installed."""
    try:
        import mcp.server  # noqa: F401, PLC0415
    except ImportError:
        text = "tools for agents need the MCP SDK: pip install 'polyreel[mcp]'"
        raise MissingExtraError(text) from None


def build(tools: AgentTools) -> Server[Any]:
    """Make the server of these tools, for any transport of the SDK.

    MissingExtraError is raised where the SDK is not installed.
    """
    check_installed()
    import mcp_types as types  # noqa: PLC0415
    from mcp.server import Server  # noqa: PLC0415
    from mcp.shared.exceptions import MCPError  # noqa: PLC0415

    listed = [
        types.Tool(
            name=tool.name,
            description=tool.description,
            input_schema=tool.schema,
            annotations=types.ToolAnnotations(
                read_only_hint=tool.is_read_only,
                destructive_hint=False,
                idempotent_hint=True,
                open_world_hint=not tool.is_read_only,
            ),
        )
        for tool in tools.by_name.values()
    ]

    async def list_tools(_: object, __: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(_: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        answer, is_error = await tools.answer(params.name, params.arguments or {})
        content: list[types.ContentBlock] = [
            types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False))
        ]
        content += [types.ResourceLink(**facts) for facts in _links(answer.get("job"))]
        return types.CallToolResult(content=content, structured_content=answer, is_error=is_error)

    async def list_resources(_: object, __: object) -> types.ListResourcesResult:
        entries = tools.service.entries(["saved"], LISTED)
        found = [facts for entry in entries for facts in _files(entry)]
        return types.ListResourcesResult(resources=[types.Resource(**one) for one in found])

    async def list_templates(_: object, __: object) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            name="clip",
            uri_template=SCHEME + "{job}/{number}",
            description="A saved file of a job, by the job's id and the file's number from 1.",
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        _: object, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        try:
            path, kind = _saved(tools, str(params.uri))
            content = path.read_bytes()
        except PolyreelError as error:
            raise MCPError(
                code=types.INVALID_PARAMS, message=str(tools.without_keys(str(error)))
            ) from None
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
            raise MCPError(code=types.INVALID_PARAMS, message=message) from None
        blob = base64.b64encode(content).decode()
        contents = types.BlobResourceContents(uri=params.uri, blob=blob, mime_type=kind)
        return types.ReadResourceResult(contents=[contents])

    return Server(
        "polyreel",
        version=metadata.version("polyreel"),
        instructions=tools.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


async def serve_streams(server: Server[Any]) -> None:
    """Serve one client over standard input and output, until it closes them."""
    from mcp.server.stdio import stdio_server  # noqa: PLC0415

    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def serve_http(server: Server[Any], bound: socket.socket) -> None:
    """Serve clients on a bound socket of loopback, at the path /mcp, until interrupted.

    Other hosts than loopback, and pages of other origins, are refused.
    """
    import uvicorn  # noqa: PLC0415

    config = uvicorn.Config(server.streamable_http_app(), log_config=None, lifespan="on")
    with suppress(KeyboardInterrupt):
        await uvicorn.Server(config).serve(sockets=[bound])


# -- clips as resources ----------------------------------------------------------------------------


def _files(entry: LedgerEntry) -> Iterator[dict[str, Any]]:
    """The saved files of an entry as resources."""
    for number, output in enumerate((entry.job and entry.job.outputs) or (), 1):
        if output.path is not None:
            yield _resource(entry.id, number, output.path, output.content_type, output.size_bytes)


def _links(entry: JsonObject | None) -> Iterator[dict[str, Any]]:
    """The same for an entry in an answer."""
    entry = entry or {}
    for number, output in enumerate(entry.get("job", {}).get("outputs", ()), 1):
        if output.get("path") is not None:
            facts = (output.get("content_type"), output.get("size_bytes"))
            resource = _resource(entry["id"], number, output["path"], *facts)
            yield {"type": "resource_link", **resource}


def _resource(
    entry: str, number: int, path: str, kind: str | None, size: int | None
) -> dict[str, Any]:
    name = Path(path).name
    return {"uri": f"{SCHEME}{entry}/{number}", "name": name, "mime_type": kind, "size": size}


def _saved(tools: AgentTools, uri: str) -> tuple[Path, str]:
    """The file of a resource, and its media type. UnknownNameError where there is none."""
    entry, _, number = uri.removeprefix(SCHEME).partition("/")
    outputs = {}
    if uri.startswith(SCHEME):
        found = tools.service.entry(entry)
        outputs = {str(n): o for n, o in enumerate((found.job and found.job.outputs) or (), 1)}
    output = outputs.get(number)
    if output is None or output.path is None:
        raise UnknownNameError(f"{uri}: no job has saved such a file; the tool `jobs` lists them")
    path = Path(output.path)
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise LedgerError(f"{uri}: the file is too large to be sent; it is {path}")
    return path, output.content_type or "application/octet-stream"
