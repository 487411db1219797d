"""The embedded platform as the person and another workspace use it."""

import json
import pathlib
import urllib.request


class Platform:
    def __init__(self, url, room):
        self.url = url
        self.admin = (pathlib.Path(room) / "platform" / "admin_token").read_text().strip()

    def ask(self, method, path, body=None, token=None):
        """One request, with the platform's own credential if no other is given."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self.admin}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def workspace(self, name):
        body = {"name": name, "runtime": "external", "external": True, "delivery_mode": "poll"}
        made = self.ask("POST", "/workspaces", body)
        return made["id"], made["connection"]["auth_token"]

    def say(self, to, text):
        message = {"role": "user", "messageId": f"m-{to}-{text}", "parts": [{"kind": "text", "text": text}]}
        body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
        self.ask("POST", f"/workspaces/{to}/a2a", body)


def environment(platform, own, token, folder):
    """What a client hands to the daemon of a workspace."""
    folder.mkdir(mode=0o700)
    return {
        "PLATFORM_URL": platform.url,
        "WORKSPACE_ID": own,
        "MOLECULE_WORKSPACE_TOKEN": token,
        "CONFIGS_DIR": str(folder),
    }
