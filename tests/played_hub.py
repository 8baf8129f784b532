"""The Hugging Face Hub, played by a small server that speaks as it does."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The few answers of the Hub that fetching a repository needs.

    The server has ``repos``: by repository the files of its one commit; "gated" for a gated one;
    ``fetched``: the names of the files that were asked for; and ``half``: whether it
    breaks off in the midst of every file.
    """

    def do_GET(self):
        part = self.path.split("?")[0].strip("/").split("/")
        if part[:2] == ["api", "models"] and len(part) >= 6:
            repo, what, revision = "/".join(part[2:4]), part[4], part[5]
            files = self._files(repo, revision)
            if files is None:
                return
            if what == "revision":
                siblings = [{"rfilename": name} for name in files]
                self._json({"id": repo, "sha": COMMIT, "siblings": siblings, "tags": []})
            else:
                self._json([
                    {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
                    for name, content in files.items()
                ])  # fmt: skip
        elif len(part) == 5 and part[2] == "resolve":
            files = self._files("/".join(part[:2]), part[3])
            if files is None:
                return
            content = files[part[4]]
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            first = int(asked[1]) if asked else 0
            last = min(int(asked[2]) if asked and asked[2] else len(content), len(content) - 1)
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{_oid(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(last + 1 - first))
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self.server.fetched.append(part[4])
                if self.server.half:
                    last = min(last, len(content) // 2)
                self.wfile.write(content[first : last + 1])
        else:
            self._refuse(404, "EntryNotFound")

    do_HEAD = do_GET

    def _files(self, repo, revision):
        files = self.server.repos.get(repo)
        if files is None:
            self._refuse(401, "RepoNotFound")
        elif files == "gated":
            self._refuse(403, "GatedRepo")
        elif revision not in ("main", "v1", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            return files
        return None

    def _json(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
