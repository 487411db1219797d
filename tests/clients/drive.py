"""Every tool of the agent's set, called by the official Python SDK, against the embedded platform.

usage: drive.py PROGRAM PLATFORM_URL FOLDER legacy|modern
"""

import asyncio
import json
import pathlib
import sys

from local import Platform, environment
from mcp import Client, StdioServerParameters

PROGRAM, URL, ROOM, PROTOCOL = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4]
REVISIONS = {"legacy": "2025-11-25", "modern": "2026-07-28"}
PLATFORM = Platform(URL, ROOM)


def server(own, token):
    env = environment(PLATFORM, own, token, ROOM / f"state-{PROTOCOL}")
    env |= {"MOLECULE_MCP_PROTOCOL": PROTOCOL, "MOLECULE_MCP_TOOLSETS": "agent"}
    return StdioServerParameters(command=PROGRAM, env=env)


class Session:
    """A client that checks the form of every answer, and remembers which tools it called."""

    def __init__(self, client):
        self.client, self.called = client, set()

    async def call(self, tool, **arguments):
        self.called.add(tool)
        result = await self.client.call_tool(tool, arguments)
        structured = result.structured_content
        assert isinstance(structured, dict), f"{tool}: {result}"
        assert json.loads(result.content[0].text) == structured, f"{tool}: the text is not the structured content"
        return bool(result.is_error), structured

    async def works(self, tool, **arguments):
        failed, answer = await self.call(tool, **arguments)
        assert not failed, f"{tool}({arguments}): {answer}"
        return answer

    async def next_message(self):
        while True:
            message = await self.works("wait_for_message", timeout_secs=45)
            if "activity_id" in message:
                return message


async def drive():
    (own, token), (peer, _) = PLATFORM.workspace(f"driven-{PROTOCOL}"), PLATFORM.workspace(f"peer-{PROTOCOL}")
    mode = "legacy" if PROTOCOL == "legacy" else REVISIONS["modern"]
    async with Client(server(own, token), mode=mode, read_timeout_seconds=90) as client:
        session = Session(client)
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert "wait_for_message" in listed

        PLATFORM.say(own, "hello")
        message = await session.next_message()
        assert message["text"] == "hello" and message["kind"] == "canvas_user", message
        peeked = await session.works("inbox_peek")
        assert peeked["messages"][0]["activity_id"] == message["activity_id"], peeked
        removed = await session.works("inbox_pop", activity_id=message["activity_id"])
        assert removed["removed"] is True, removed
        PLATFORM.say(own, "answer me")
        message = await session.next_message()
        replied = await session.works("reply_to_message", activity_id=message["activity_id"], text="at once")
        assert replied["acknowledged"] is True, replied
        await session.works("send_message_to_user", message="done")

        peers = (await session.works("list_peers"))["peers"]
        assert peer in [one["id"] for one in peers], peers
        given = await session.works("delegate_task_async", workspace_id=peer, task="paint it")
        status = await session.works("check_task_status", task_id=given["delegation_id"])
        assert status["status"] in ("delegated", "delivered", "queued"), status
        await session.works("chat_history", peer_id=peer)

        # The rest with whatever their schemas ask for: what they are is tested elsewhere, here only that such a client can
        # call them, and that a failure is told as one.
        for name, tool in sorted(listed.items()):
            if name in session.called:
                continue
            schema = tool.input_schema
            arguments = {key: sample(key, schema["properties"][key], peer) for key in schema.get("required", [])}
            if name == "delegate_task":
                # It would wait for the peer's answer.
                arguments["workspace_id"] = "00000000-0000-4000-8000-000000000000"
            failed, answer = await session.call(name, **arguments)
            if failed:
                assert answer["error"] != "INTERNAL" and answer["hint"], f"{name}({arguments}): {answer}"
        assert session.called == set(listed), set(listed) - session.called
        print(f"Python SDK, {REVISIONS[PROTOCOL]}: {len(session.called)} tools called")


def sample(name, schema, peer):
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if name.endswith("id"):
        return peer
    plain = {"string": "text", "integer": 1, "number": 1, "boolean": False, "array": [], "object": {"name": "driven"}}
    return plain[kind]


asyncio.run(drive())
