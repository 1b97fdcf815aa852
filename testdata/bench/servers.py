"""What some jobs need beside them while they run: a MinIO server, a cluster of millrace."""

import contextlib
import datetime
import hashlib
import hmac
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
BUCKET = "bench"
READY_SECONDS = 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def process(command, env, log):
    """A server that ends with the block."""
    with open(log, "wb") as out:
        child = subprocess.Popen(command, env=os.environ | env, stdout=out, stderr=out)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def until(ready, child, log):
    for _ in range(READY_SECONDS * 20):
        if child.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.05)
    raise RuntimeError(f"{child.args[0]} is not ready: {Path(log).read_text(errors='replace')[-500:]}")


class MinIO:
    def __init__(self, bench, port, key, secret, data):
        self.bench, self.key, self.secret, self.data = bench, key, secret, data
        self.host = f"127.0.0.1:{port}"

    def env(self):
        return {"AWS_ENDPOINT_URL_S3": f"http://{self.host}", "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret,
                "AWS_REGION": "us-east-1"}

    def upload(self, kind, size):
        """Makes data in the bucket and returns its URL."""
        command = [self.bench.millrace, "gen", kind, "--size", str(size), "-o", f"s3://{BUCKET}/{kind}"]
        subprocess.run(command, env=os.environ | self.env(), check=True, stderr=subprocess.DEVNULL)
        return f"s3://{BUCKET}/{kind}"

    def url(self, name):
        return f"http://{self.host}/{BUCKET}/{name}"

    def size(self, name):
        with urllib.request.urlopen(urllib.request.Request(self.presigned(name), headers={"Range": "bytes=0-0"})) as answer:
            return int(answer.headers["Content-Range"].split("/")[1])

    def presigned(self, name):
        """A URL that reads an object without credentials: AWS signature 4 in the query."""
        now = datetime.datetime.now(datetime.UTC)
        scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
        query = urllib.parse.urlencode({
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.key}/{scope}", "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": "86400", "X-Amz-SignedHeaders": "host"})
        request = f"GET\n/{BUCKET}/{name}\n{query}\nhost:{self.host}\n\nhost\nUNSIGNED-PAYLOAD"
        text = f"AWS4-HMAC-SHA256\n{now:%Y%m%dT%H%M%SZ}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return f"{self.url(name)}?{query}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"


@contextlib.contextmanager
def minio(bench):
    bench.build("minio", "github.com/minio/minio", TREE / "testdata" / "servers" / "minio")
    data, log = bench.dir / "minio", bench.dir / "minio.log"
    shutil.rmtree(data, ignore_errors=True)
    (data / BUCKET).mkdir(parents=True)  # a folder of its data is a bucket
    server = MinIO(bench, free_port(), "bench" + secrets.token_hex(4), secrets.token_hex(16), data)
    env = {"MINIO_ROOT_USER": server.key, "MINIO_ROOT_PASSWORD": server.secret, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}

    def healthy():
        try:
            return urllib.request.urlopen(f"http://{server.host}/minio/health/ready", timeout=1).status == 200
        except (OSError, urllib.error.URLError):
            return False

    try:
        with process([bench.bin / "minio", "server", "--address", server.host, "--quiet", data], env, log) as child:
            until(healthy, child, log)
            yield server
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def cluster(bench, workers, slots):
    address, log = f"127.0.0.1:{free_port()}", bench.dir / "cluster.log"
    logs = bench.dir / "cluster-logs"
    command = [bench.millrace, "cluster", "--workers", str(workers), "--slots", str(slots), "--listen", address, "--log-dir", logs]
    with process(command, {"GOMAXPROCS": "2"}, log) as child:
        until(lambda: subprocess.run([bench.millrace, "list", "--master", address], capture_output=True).returncode == 0, child, log)
        yield address
