"""Google Cloud Storage, Aliyun OSS and Google Drive as far as their clients are asked for by the tests, in memory.

usage: clouds.py PORT gcs|oss|gdrive

They prove the shape of requests and what becomes of the answers, not what the services do. Credentials are asked for, and not
checked. Each answers as its reference says: conditions, ranges, pages of 1,000 names, parts.
"""

import base64
import email.utils
import hashlib
import itertools
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

LOCK = threading.RLock()
NUMBERS = itertools.count(1)
PAGE = 1000


class Object:
    """What is stored: bytes, a number that grows with each write, and the time."""

    def __init__(self, data, kind=None):
        self.data, self.number, self.time = data, next(NUMBERS), time.time()
        self.kind = kind or "application/octet-stream"
        self.tag = '"%s"' % hashlib.md5(data).hexdigest().upper()

    def iso(self):
        return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self.time))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def handle_one(self):
        parts = urlsplit(self.path)
        self.where = unquote(parts.path)
        self.asked = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        self.sent = self.body()
        if not self.allowed():
            return self.fail(401, "Unauthorized")
        with LOCK:
            getattr(self, self.command.lower())()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = handle_one

    def allowed(self):
        return "Authorization" in self.headers

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            blocks = []
            while length := int(self.rfile.readline().strip() or b"0", 16):
                blocks.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(blocks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, data=b"", kind="application/octet-stream", **headers):
        if isinstance(data, dict):
            data, kind = json.dumps(data).encode(), "application/json"
        if isinstance(data, str):
            data, kind = data.encode(), "application/xml"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer_object(self, found):
        headers = {"ETag": found.tag, "Last_Modified": email.utils.formatdate(found.time, usegmt=True)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted or not found.data:
            return self.answer(200, found.data, found.kind, **headers)
        first = int(wanted[1])
        last = min(int(wanted[2] or len(found.data)), len(found.data) - 1)
        if first >= len(found.data):
            return self.fail(416, "InvalidRange")
        span = "bytes %d-%d/%d" % (first, last, len(found.data))
        self.answer(206, found.data[first : last + 1], Content_Range=span, **headers)


OBJECTS, UPLOADS = {}, {}


def listed(prefix, delimiter, after):
    """A page of objects and folders below a prefix, and whether there is more."""
    names = {}
    for key in sorted(OBJECTS):
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        name = prefix + head + delimiter if found else key
        if name > after:
            names[name] = None if found else OBJECTS[key]
    page = list(names.items())[:PAGE]
    return page, len(names) > PAGE


class Gcs(Handler):
    """JSON for single objects, XML for uploads in parts."""

    def allowed(self):
        # The address of an upload that was begun is its own proof.
        return "upload_id" in self.asked or super().allowed()

    def fail(self, status, reason):
        self.answer(status, {"error": {"code": status, "message": reason}})

    def about(self, key):
        found = OBJECTS[key]
        digest = base64.b64encode(hashlib.md5(found.data).digest()).decode()
        return {
            "name": key,
            "bucket": "assets",
            "size": str(len(found.data)),
            "etag": found.tag,
            "md5Hash": digest,
            "generation": str(found.number),
            "contentType": found.kind,
            "updated": found.iso(),
            "timeCreated": found.iso(),
        }

    def key(self):
        one = re.fullmatch(r"/storage/v1/b/assets/o/(.+)", self.where)
        return one and one[1]

    def get(self):
        if self.where == "/storage/v1/b/assets/o":
            after = self.asked.get("pageToken") or self.asked.get("startOffset", "")
            page, more = listed(self.asked.get("prefix", ""), self.asked.get("delimiter", ""), after)
            answer = {
                "items": [self.about(name) for name, found in page if found],
                "prefixes": [name for name, found in page if not found],
            }
            if more:
                answer["nextPageToken"] = page[-1][0]
            return self.answer(200, answer)
        xml = re.fullmatch("/assets/(.+)", self.where)
        key = xml[1] if xml else self.key()
        if key not in OBJECTS:
            return self.fail(404, "Not Found")
        if xml or self.asked.get("alt") == "media":
            return self.answer_object(OBJECTS[key])
        self.answer(200, self.about(key))

    def write(self, key, data, kind=None):
        if self.asked.get("ifGenerationMatch") == "0" and key in OBJECTS:
            return self.fail(412, "conditionNotMet")
        OBJECTS[key] = Object(data, kind)
        self.answer(200, self.about(key))

    def post(self):
        if self.where == "/upload/storage/v1/b/assets/o":
            data, kind = self.sent, self.headers["Content-Type"]
            if self.asked["uploadType"] == "resumable":
                name = "r%d" % next(NUMBERS)
                UPLOADS[name] = dict(self.asked), [], json.loads(data).get("contentType")
                host = "http://%s" % self.headers["Host"]
                return self.answer(200, Location="%s%s?upload_id=%s" % (host, self.where, name))
            if self.asked["uploadType"] == "multipart":
                mark = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
                about, data = (part.split(b"\r\n\r\n", 1)[1][:-2] for part in data.split(b"--" + mark)[1:3])
                kind = json.loads(about).get("contentType")
            return self.write(self.asked["name"], data, kind)
        if self.where == "/batch/storage/v1":
            mark = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1]
            answers = ""
            for part in self.sent.decode().split("--" + mark)[1:-1]:
                key = unquote(re.search(r"DELETE \S*?/storage/v1/b/assets/o/(\S+?)(?:\?\S*)? HTTP", part)[1])
                number = re.search(r"(?i)content-id: <?([^>\r\n]+)", part)[1]
                status = "204 No Content" if OBJECTS.pop(key, None) else "404 Not Found"
                answers += "--b\r\nContent-Type: application/http\r\nContent-ID: <response-%s>\r\n\r\nHTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n\r\n" % (number, status)
            return self.answer(200, (answers + "--b--\r\n").encode(), "multipart/mixed; boundary=b")
        key = self.where.split("/", 2)[2]
        if "uploads" in self.asked:
            name = "u%d" % next(NUMBERS)
            UPLOADS[name] = {}
            return self.answer(200, "<InitiateMultipartUploadResult><Bucket>assets</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>" % (escape(key), name))
        if "uploadId" in self.asked:
            parts = UPLOADS.pop(self.asked["uploadId"])
            OBJECTS[key] = Object(b"".join(data for _, data in sorted(parts.items())))
            return self.answer(200, "<CompleteMultipartUploadResult><Key>%s</Key></CompleteMultipartUploadResult>" % escape(key))
        self.fail(400, "what is this")

    def put(self):
        if "uploadId" in self.asked:
            UPLOADS[self.asked["uploadId"]][int(self.asked["partNumber"])] = self.sent
            return self.answer(200, ETag=Object(self.sent).tag)
        if "upload_id" in self.asked:
            self.asked, blocks, kind = UPLOADS[self.asked["upload_id"]]
            blocks.append(self.sent)
            if self.headers.get("Content-Range", "").endswith("/*"):
                return self.answer(308, Range="bytes=0-%d" % (sum(map(len, blocks)) - 1))
            return self.write(self.asked["name"], b"".join(blocks), kind)
        self.fail(400, "what is this")

    def delete(self):
        for upload in ("uploadId", "upload_id"):
            if upload in self.asked:
                UPLOADS.pop(self.asked[upload], None)
                return self.answer(204 if upload == "uploadId" else 499)
        if OBJECTS.pop(self.key(), None):
            return self.answer(204)
        self.fail(404, "Not Found")


class Oss(Handler):
    def fail(self, status, code):
        self.answer(status, "<Error><Code>%s</Code><Message>%s</Message><RequestId>1</RequestId><HostId>h</HostId></Error>" % (code, code))

    def key(self):
        parts = self.where.split("/", 2)
        return parts[2] if len(parts) > 2 else ""

    def write(self, data):
        if self.headers.get("x-oss-forbid-overwrite", "").lower() == "true" and self.key() in OBJECTS:
            return self.fail(409, "FileAlreadyExists")
        OBJECTS[self.key()] = Object(data, self.headers["Content-Type"])
        tag = OBJECTS[self.key()].tag
        self.answer(200, "<CompleteMultipartUploadResult><Key>%s</Key><ETag>%s</ETag></CompleteMultipartUploadResult>" % (escape(self.key()), escape(tag)), ETag=tag)

    def get(self):
        if self.key():
            if self.key() not in OBJECTS:
                return self.fail(404, "NoSuchKey")
            return self.answer_object(OBJECTS[self.key()])
        after = self.asked.get("continuation-token") or self.asked.get("start-after", "")
        page, more = listed(self.asked.get("prefix", ""), self.asked.get("delimiter", ""), after)
        rows = ""
        for name, found in page:
            if found:
                rows += "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>%s</ETag><Type>Normal</Type><Size>%d</Size><StorageClass>Standard</StorageClass></Contents>" % (escape(name), found.iso(), escape(found.tag), len(found.data))
            else:
                rows += "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % escape(name)
        if more:
            rows += "<NextContinuationToken>%s</NextContinuationToken>" % escape(page[-1][0])
        head = "<Name>assets</Name><Prefix>%s</Prefix><MaxKeys>%d</MaxKeys><IsTruncated>%s</IsTruncated><KeyCount>%d</KeyCount>" % (escape(self.asked.get("prefix", "")), PAGE, str(more).lower(), len(page))
        self.answer(200, "<ListBucketResult>%s%s</ListBucketResult>" % (head, rows))

    head = get

    def put(self):
        if "uploadId" in self.asked:
            UPLOADS[self.asked["uploadId"]][int(self.asked["partNumber"])] = self.sent
            return self.answer(200, ETag=Object(self.sent).tag)
        self.write(self.sent)

    def post(self):
        if "delete" in self.asked:
            keys = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", self.sent.decode())]
            for key in keys:
                OBJECTS.pop(key, None)
            gone = "".join("<Deleted><Key>%s</Key></Deleted>" % escape(key) for key in keys)
            return self.answer(200, "<DeleteResult>%s</DeleteResult>" % gone)
        if "uploads" in self.asked:
            name = "u%d" % next(NUMBERS)
            UPLOADS[name] = {}
            return self.answer(200, "<InitiateMultipartUploadResult><Bucket>assets</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>" % (escape(self.key()), name))
        parts = UPLOADS.pop(self.asked["uploadId"])
        self.write(b"".join(data for _, data in sorted(parts.items())))

    def delete(self):
        if "uploadId" in self.asked:
            UPLOADS.pop(self.asked["uploadId"], None)
        else:
            OBJECTS.pop(self.key(), None)
        self.answer(204)


FOLDER = "application/vnd.google-apps.folder"


class Drive(Handler):
    """Names are not unique: what is made twice is there twice."""

    def fail(self, status, reason):
        self.answer(status, {"error": {"code": status, "message": reason}})

    def allowed(self):
        return self.where == "/token" or super().allowed()

    def about(self, name):
        if name == "root":
            return {"id": "root", "name": "root", "mimeType": FOLDER}
        found = OBJECTS[name]
        about = {"id": name, "name": found.name, "mimeType": found.kind, "modifiedTime": found.iso(), "parents": found.parents}
        if found.kind != FOLDER:
            about["size"] = str(len(found.data))
        return about

    def make(self, about, data=b""):
        made = Object(data)
        made.name, made.parents = about["name"], about.get("parents", ["root"])
        made.kind = about.get("mimeType") or "application/octet-stream"
        OBJECTS["id%d" % made.number] = made
        self.answer(200, self.about("id%d" % made.number))

    def get(self):
        one = re.fullmatch(r"/drive/v3/files/([^/]+)", self.where)
        if one:
            if one[1] != "root" and one[1] not in OBJECTS:
                return self.fail(404, "File not found")
            if self.asked.get("alt") == "media":
                return self.answer_object(OBJECTS[one[1]])
            return self.answer(200, self.about(one[1]))
        query = self.asked.get("q", "")
        name = re.search(r"name = '((?:[^'\\]|\\.)*)'", query)
        name = name and re.sub(r"\\(.)", r"\1", name[1])
        parents = set(re.findall(r"'([^']+)' in parents", query))
        found = [
            key
            for key, one in OBJECTS.items()
            if (not parents or parents & set(one.parents))
            and (name is None or one.name == name)
            and ("mimeType = '%s'" % FOLDER not in query or one.kind == FOLDER)
        ]
        found.sort(key=lambda key: -OBJECTS[key].number)
        first, size = int(self.asked.get("pageToken", 0)), int(self.asked.get("pageSize", 100))
        answer = {"files": [self.about(key) for key in found[first : first + size]]}
        if first + size < len(found):
            answer["nextPageToken"] = str(first + size)
        self.answer(200, answer)

    def post(self):
        if self.where == "/token":
            return self.answer(200, {"access_token": "fresh", "expires_in": 3600})
        if self.where == "/upload/drive/v3/files":
            mark = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
            about, data = (part.split(b"\r\n\r\n", 1)[1][:-2] for part in self.sent.split(b"--" + mark)[1:3])
            return self.make(json.loads(about), data)
        self.make(json.loads(self.sent))

    def patch(self):
        one = re.fullmatch(r"/(upload/)?drive/v3/files/([^/]+)", self.where)
        found = OBJECTS.get(one[2])
        if not found:
            return self.fail(404, "File not found")
        if one[1]:
            new = Object(self.sent)
            new.name, new.parents, new.kind = found.name, found.parents, found.kind
            OBJECTS[one[2]] = new
        elif json.loads(self.sent).get("trashed"):
            about = self.about(one[2])
            del OBJECTS[one[2]]
            return self.answer(200, about)
        self.answer(200, self.about(one[2]))

    def delete(self):
        OBJECTS.pop(self.where.rsplit("/", 1)[1], None)
        self.answer(204)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", int(sys.argv[1])), {"gcs": Gcs, "oss": Oss, "gdrive": Drive}[sys.argv[2]]).serve_forever()
