"""A hub on loopback: repositories that are made, committed to and read, by the hub's own protocol.

It speaks what huggingface_hub asks of it: ``repos/create``, ``preupload``, the batches of Git LFS,
a commit of lines of JSON, and ``resolve``.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_of_a_test"  # gives leave to write


class Hub:
    """Repositories by name, each with its files; ``commits`` has the messages."""

    def __init__(self):
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.visibility: dict[str, str | None] = {}
        self.commits: list[str] = []
        self._uploads: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub._read(self)

            do_HEAD = do_GET

            def do_POST(self):
                hub._write(self)

            do_PUT = do_POST

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _read(self, request):
        found = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", request.path)
        if not found or found[1] not in self.repositories:
            return self._say(request, 404, b"", {"X-Error-Code": "RepoNotFound"})
        if found[2] != "main":
            return self._say(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        content = self.repositories[found[1]].get(found[3])
        if content is None:
            return self._say(request, 404, b"", {"X-Error-Code": "EntryNotFound"})
        digest = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": f"{len(self.commits):040x}", "ETag": f'"{digest}"'}
        self._say(request, 200, content, headers)

    def _write(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if request.command == "PUT":
            self._uploads[request.path.rpartition("/")[2]] = body
            return self._say(request, 200, b"")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(request, 401, b'{"error": "no leave"}')
        path = request.path
        if path == "/api/validate-yaml":  # anybody may ask
            return self._json(request, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(request, json.loads(body))
        if found := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            files = [
                {
                    "path": one["path"], "shouldIgnore": False, "oid": None,
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                }
                for one in json.loads(body)["files"]
            ]  # fmt: skip
            return self._json(request, {"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.url}/upload/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self._json(request, {"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            return self._commit(request, found[1], body)
        revision = re.search(r"/(?:preupload|commit)/", path)
        code = "RevisionNotFound" if revision else "RepoNotFound"
        return self._say(request, 404, b"{}", {"X-Error-Code": code})

    def _create(self, request, asked):
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.repositories
        self.repositories.setdefault(name, {})
        self.visibility.setdefault(name, asked.get("visibility"))
        self._json(request, {"url": f"{self.url}/{name}"}, 409 if there else 200)

    def _commit(self, request, name, body):
        header, *files = map(json.loads, body.splitlines())
        written = {}
        for one in files:
            value = one["value"]
            if one["key"] == "lfsFile":
                content = self._uploads[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
            else:
                content = base64.b64decode(value["content"])
            written[value["path"]] = content
        self.repositories[name] |= written
        self.commits.append(header["value"]["summary"])
        oid = f"{len(self.commits):040x}"
        url = f"{self.url}/{name}/commit/{oid}"
        self._json(request, {"success": True, "commitOid": oid, "commitUrl": url})

    def _json(self, request, document, status=200):
        self._say(
            request, status, json.dumps(document).encode(), {"Content-Type": "application/json"}
        )

    def _say(self, request, status, body, headers=None):
        request.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)
