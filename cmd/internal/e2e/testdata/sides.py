"""Prints the rows of a side output in a bucket as JSON, a line each: sides.py s3://bucket/output NAME. The server is that of the
environment, as AWS tools find it; which parts there are _SUCCESS tells."""
import json
import os
import sys

import pyarrow.fs
import pyarrow.ipc

out, name = sys.argv[1].removeprefix("s3://"), sys.argv[2]
scheme, address = os.environ["AWS_ENDPOINT_URL_S3"].split("://")
s3 = pyarrow.fs.S3FileSystem(endpoint_override=address, scheme=scheme, region=os.environ["AWS_REGION"],
                             access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])
with s3.open_input_file(out + "/_SUCCESS") as f:
    manifest = json.loads(f.read())
side = next(o for o in manifest["outputs"] if o["name"] == name)
for part in side["parts"]:
    with s3.open_input_file(out + "/" + part["name"]) as f:
        rows = pyarrow.ipc.open_file(f).read_all().to_pylist()
    assert len(rows) == part["rows"], part
    for row in rows:
        print(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
