"""Every tool of the agent's set, called by MCP Inspector, against the embedded platform. Each call is a process of its own.

usage: inspector.py PROGRAM PLATFORM_URL FOLDER
"""

import json
import pathlib
import subprocess
import sys

from local import Platform, environment

PROGRAM, URL, ROOM = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
PLATFORM = Platform(URL, ROOM)
NOBODY = "00000000-0000-4000-8000-000000000000"
(OWN, TOKEN), (PEER, PEER_TOKEN) = PLATFORM.workspace("inspected"), PLATFORM.workspace("inspected-peer")
VARIABLES = environment(PLATFORM, OWN, TOKEN, ROOM / "state-inspected")
called = set()


def ask(*arguments):
    variables = [part for pair in VARIABLES.items() for part in ("-e", "=".join(pair))]
    line = ["mcp-inspector", "--cli", PROGRAM, *variables, *arguments]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=90)
    try:
        return json.loads(ran.stdout)
    except ValueError:
        sys.exit(f"{line}\nexit code {ran.returncode}\n{ran.stdout}\n{ran.stderr}")


def call(tool, arguments):
    called.add(tool)
    arguments = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
    answer = ask("--method", "tools/call", "--tool-name", tool, *arguments)
    result = answer.get("structuredContent")
    assert isinstance(result, dict) and answer["content"], (tool, answer)
    return bool(answer.get("isError")), result


def works(tool, **arguments):
    failed, result = call(tool, arguments)
    assert not failed, (tool, arguments, result)
    return result


def fails(tool, code, **arguments):
    failed, result = call(tool, arguments)
    assert failed and result["error"] == code and result["detail"] and result["hint"], (tool, arguments, result)


def next_message():
    return works("wait_for_message", timeout_secs=45)


tools = {tool["name"] for tool in ask("--method", "tools/list")["tools"]}

# With the person.
PLATFORM.say(OWN, "hello")
message = next_message()
assert message["text"] == "hello", message
assert works("inbox_peek")["messages"][0]["activity_id"] == message["activity_id"]
assert works("inbox_pop", activity_id=message["activity_id"])["removed"] is True
PLATFORM.say(OWN, "answer me")
replied = works("reply_to_message", activity_id=next_message()["activity_id"], text="at once")
assert replied["acknowledged"] is True, replied
works("send_message_to_user", message="done")

# With a peer. It has no agent, so that nobody answers.
assert PEER in [one["id"] for one in works("list_peers")["peers"]]
given = works("delegate_task_async", workspace_id=PEER, task="paint it")
status = works("check_task_status", task_id=given["delegation_id"])
assert status["status"] in ("delegated", "delivered", "queued"), status
fails("delegate_task", "TARGET_UNKNOWN", workspace_id=NOBODY, task="paint it")
works("chat_history", peer_id=PEER)
fails("broadcast_message", "BROADCAST_DISABLED", message="all")

# Requests, ours and theirs.
ours = works("create_request", kind="task", title="Read it")["request_id"]
works("add_request_message", request_id=ours, body="The second page.")
assert works("get_request", request_id=ours)["request"]["title"] == "Read it"
works("create_approval", action="Publish it")
assert len(works("check_requests")["requests"]) == 2
works("cancel_request", request_id=ours)
theirs = {"kind": "task", "title": "Count them", "recipient_type": "agent", "recipient_id": OWN}
theirs = PLATFORM.ask("POST", f"/workspaces/{PEER}/requests", theirs, PEER_TOKEN)["request_id"]
works("list_inbox")
works("respond_request", request_id=theirs, action="done")

# About itself.
works("get_workspace_info")
works("get_runtime_identity")
works("update_agent_card", card='{"name": "Ann", "skills": []}')

# A platform of this level without the service that keeps memories. And what needs a credential that the workspace has not.
LACKING = "NOT_SUPPORTED_BY_PLATFORM"
for tool, arguments in {
    "commit_memory": {"content": "x"},
    "recall_memory": {},
    "commit_memory_v2": {"content": "x"},
    "search_memory": {"query": "x"},
    "commit_summary": {"content": "x"},
    "list_readable_namespaces": {},
    "list_writable_namespaces": {},
    "forget_memory": {"memory_id": NOBODY},
}.items():
    fails(tool, LACKING, **arguments)
fails("provision_workspace", "AUTH_ERROR", name="x", runtime="external")

assert called == tools, (tools - called, called - tools)
print(f"MCP Inspector: {len(tools)} tools listed and called")
