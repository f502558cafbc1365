"""An in-memory stand-in for Google Cloud Storage: what gcsfs, tensorstore and google-cloud-storage ask of its JSON API.

    python tests/fake_gcs.py [PORT]    prints its address, and serves until it is killed

Like the real one it has objects only, no folders; an object is seen whole or not at all; each write has a generation, which
requests can make a condition. Any bucket exists; one is forbidden.
"""

import datetime
import itertools
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

FORBIDDEN = "forbidden"
PAGE = 7  # results of a listing at a time; few, so that paging is tried
OBJECT = re.compile(r"(?:/upload|/download)?/storage/v1/b/(?P<bucket>[^/]+)(?:/o(?:/(?P<name>[^/]+)(?P<more>/.+)?)?)?$")
CONDITIONS = {"ifGenerationMatch": (True, 412), "ifGenerationNotMatch": (False, 304)}


class Object(NamedTuple):
    data: bytes
    generation: int
    time: str


class Refusal(Exception):
    """An HTTP status other than success."""


class FakeGcs(ThreadingHTTPServer):
    """The server; `objects` is what it holds, by bucket and name."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, port: int = 0):
        super().__init__(("127.0.0.1", port), Handler)
        self.objects: dict[tuple[str, str], Object] = {}
        self.uploads: dict[str, tuple[dict, bytearray]] = {}  # resumable ones that go on
        self.lock, self.numbers = threading.RLock(), itertools.count(1000)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address) -> None:
        """Says nothing of a client that hung up; anything else is a defect of this file."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, -1

    def log_message(self, *args) -> None:
        """Says nothing."""

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else self.read_chunks()
        status, headers, reply = self.answer(self.command, self.path, self.headers, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_request

    def read_chunks(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return b""
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, method, target, headers, body):
        """The reply to one request: status, headers, body."""
        url = urlsplit(target)
        query, match = dict(parse_qsl(url.query)), OBJECT.match(url.path)
        try:
            with self.server.lock:
                if match is None:
                    raise Refusal(404)
                bucket, name, more = match["bucket"], match["name"] and unquote(match["name"]), match["more"]
                if bucket == FORBIDDEN:
                    raise Refusal(403)
                if url.path.startswith("/upload"):
                    return self.upload(bucket, query, headers, body)
                if more:
                    return self.copy((bucket, name), more, query, json.loads(body or b"{}"))
                if name is None:
                    return as_json(self.listing(bucket, query) if "/o" in url.path else {"name": bucket, "id": bucket})
                return self.on_object(method, (bucket, name), query, headers)
        except Refusal as refusal:
            status = refusal.args[0]
            return as_json({"error": {"code": status, "message": f"{method} {target}"}}, status=status)

    def on_object(self, method, key, query, headers):
        self.check(key, query)
        if key not in self.server.objects:
            raise Refusal(404)
        found = self.server.objects[key]
        if method == "DELETE":
            del self.server.objects[key]
            return 204, {}, b""
        if query.get("alt") != "media":
            return as_json(self.describe(key))
        data, status = found.data, 200
        more = {"x-goog-generation": str(found.generation), "Content-Type": "application/octet-stream"}
        if asked := re.match(r"bytes=(\d*)-(\d*)$", headers.get("Range") or ""):
            size = len(data)
            first = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
            last = min(size, int(asked[2]) + 1 if asked[1] and asked[2] else size)
            if first >= size:
                raise Refusal(416)
            data, status = data[first:last], 206
            more["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
        return status, more, data

    def check(self, key, query):
        """Keeps the conditions of a request."""
        generation = self.server.objects[key].generation if key in self.server.objects else 0
        for name, (equal, status) in CONDITIONS.items():
            if name in query and (int(query[name]) == generation) != equal:
                raise Refusal(status)

    def put(self, key, data, query):
        self.check(key, query)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.server.objects[key] = Object(bytes(data), next(self.server.numbers), now)
        return as_json(self.describe(key))

    def describe(self, key):
        bucket, name = key
        data, generation, time = self.server.objects[key]
        return {
            "kind": "storage#object", "bucket": bucket, "name": name, "id": f"{bucket}/{name}/{generation}",
            "size": str(len(data)), "generation": str(generation), "metageneration": "1", "updated": time, "timeCreated": time,
            "contentType": "application/octet-stream", "etag": str(generation), "storageClass": "STANDARD",
        }  # fmt: skip

    def listing(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        first, end = query.get("startOffset", ""), query.get("endOffset")
        rows = {}  # by name: of an object, or of a prefix up to the delimiter
        for key in sorted(self.server.objects):
            name = key[1]
            if key[0] != bucket or not name.startswith(prefix) or name < first or (end and name >= end):
                continue
            stem, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            rows.update({prefix + stem + found: None} if found else {name: self.describe(key)})
        names = [name for name in sorted(rows) if name > query.get("pageToken", "")]
        page = names[: min(PAGE, int(query.get("maxResults", PAGE)))]
        return {
            "kind": "storage#objects",
            "items": [rows[name] for name in page if rows[name]],
            "prefixes": [name for name in page if not rows[name]],
            **({"nextPageToken": page[-1]} if len(page) < len(names) else {}),
        }

    def upload(self, bucket, query, headers, body):
        kind, name = query["uploadType"], query.get("name")
        if kind == "media":
            return self.put((bucket, name), body, query)
        if kind == "multipart":
            boundary = b"--" + re.search(r"boundary=[\"']?([^\"';]+)", headers["Content-Type"])[1].encode()
            first, second = (at.end() for at in itertools.islice(re.finditer(re.escape(boundary) + rb"\r?\n", body), 2))
            described, data = (re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in (body[first:second], body[second:]))
            data = data[: data.rindex(boundary)]
            data = data[: -2 if data.endswith(b"\r\n") else -1]
            name = name or json.loads(described.rpartition(boundary)[0])["name"]
            return self.put((bucket, name), data, query)
        if "upload_id" not in query:
            number = str(next(self.server.numbers))
            name = name or json.loads(body)["name"]
            self.server.uploads[number] = {**query, "name": name}, bytearray()
            where = f"{self.server.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={number}"
            return 200, {"Location": where}, b""
        begun, data = self.server.uploads[query["upload_id"]]
        data += body
        if headers.get("Content-Range", "/0").endswith("/*"):  # there is more to come
            return 308, {"Range": f"bytes=0-{len(data) - 1}"} if data else {}, b""
        del self.server.uploads[query["upload_id"]]
        return self.put((bucket, begun["name"]), data, begun)

    def copy(self, key, more, query, body):
        if more == "/compose":
            parts = [self.server.objects.get((key[0], part["name"])) for part in body["sourceObjects"]]
            if None in parts:
                raise Refusal(404)
            return self.put(key, b"".join(part.data for part in parts), query)
        target = re.match(r"/(?:rewriteTo|copyTo|moveTo)(?:/b/([^/]+))?/o/([^/]+)$", more)
        if target is None or key not in self.server.objects:
            raise Refusal(404)
        new, data = (target[1] or key[0], unquote(target[2])), self.server.objects[key].data
        self.put(new, data, query)
        if more.startswith("/moveTo"):
            del self.server.objects[key]
            return as_json(self.describe(new))
        size = str(len(data))
        return as_json({"done": True, "resource": self.describe(new), "totalBytesRewritten": size, "objectSize": size})


def as_json(content, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


if __name__ == "__main__":
    server = FakeGcs(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(server.url, flush=True)
    server.serve_forever()
