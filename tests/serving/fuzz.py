"""schemathesis against a server: ``python tests/serving/fuzz.py SCHEMATHESIS``; see ``make fuzz``.

Its oracle is the OpenAPI document: no answer of 500 or more, every status, content type and body
among those described, no method beside them. Whether bytes that fit the schema are accepted is not
asked: most are no photograph.
"""

import subprocess
import sys

from tests.serving.conftest import running
from tortie.loading import pretrained
from tortie.serving.limits import Limits

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,unsupported_method"
)


def main() -> None:
    with running(lambda: pretrained("efficientnet-lite0"), Limits(seconds=5)) as client:
        client.until_ready()
        address = f"http://127.0.0.1:{client.port}/openapi.json"
        command = [sys.argv[1], "run", address, "--checks", CHECKS, "--max-examples", "200"]
        code = subprocess.call([*command, "--continue-on-failure", "--no-color"])
        assert client.get("/health").status == 200
    sys.exit(code)


if __name__ == "__main__":
    main()
