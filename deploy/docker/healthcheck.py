"""Exit with 0 where a service says that it is ready: ``healthcheck.py METRICS_PORT_VARIABLE``."""

import http.client
import os
import sys

port = int(os.environ[sys.argv[1]])
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
try:
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    print(answer.read().decode().strip())
except OSError as error:
    sys.exit(f"port {port} does not answer: {error}")
sys.exit(answer.status != http.client.OK)
