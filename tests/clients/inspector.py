"""Lists the tools with MCP Inspector and calls each of them once: its answer is a result, or an error that says what is wrong.

    inspector.py PROGRAM STATE_FOLDER
"""

import json
import subprocess
import sys

PROGRAM, FOLDER = sys.argv[1:3]
SOMETHING = {"string": "x", "integer": "1", "number": "1", "boolean": "true", "array": "[]", "object": "{}"}


def ask(*arguments):
    line = ["mcp-inspector", "--cli", PROGRAM, "-e", f"CONFIGS_DIR={FOLDER}", *arguments]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=90)
    try:
        return json.loads(ran.stdout)
    except ValueError:
        sys.exit(f"{line}\nexit code {ran.returncode}\n{ran.stdout}\n{ran.stderr}")


def given(name, shape):
    if name.endswith("_id"):
        return "5f0c1d2e-0000-4000-8000-00000000000a"
    return shape["enum"][0] if "enum" in shape else SOMETHING[shape["type"]]


def call(tool):
    schema = tool["inputSchema"]
    values = {name: given(name, schema["properties"][name]) for name in schema.get("required", [])}
    if "timeout_secs" in schema.get("properties", {}):
        values["timeout_secs"] = "1"
    arguments = [part for name, value in values.items() for part in ("--tool-arg", f"{name}={value}")]
    answer = ask("--method", "tools/call", "--tool-name", tool["name"], *arguments)
    result = answer.get("structuredContent")
    assert isinstance(result, dict) and answer["content"], (tool["name"], answer)
    if answer.get("isError"):
        assert all(result.get(field) for field in ("error", "detail", "hint")), (tool["name"], answer)
        return result["error"]
    return None


tools = ask("--method", "tools/list")["tools"]
errors = {tool["name"]: code for tool in tools if (code := call(tool))}
assert len(tools) >= 30 and len(tools) - len(errors) >= 10, errors
print(f"MCP Inspector: {len(tools)} tools listed and called, {len(errors)} of them answered an error: {errors}")
