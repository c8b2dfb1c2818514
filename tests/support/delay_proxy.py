"""A proxy in front of a real server, which answers each request late and counts them, as a server far away would."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
import time


class DelayProxy:
    """Forwards each request to `127.0.0.1:port` after `delay_s` seconds. `requests` has (method, path) of each."""

    def __init__(self, port, delay_s=0.0):
        self.requests, proxy = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                content = self.body()
                if not self.path.startswith("/health"):
                    proxy.requests.append((self.command, self.path.partition("?")[0]))
                time.sleep(proxy.delay_s)
                server = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                with contextlib.closing(server):
                    own = {name: value for name, value in self.headers.items() if name.lower() not in LEFT_OUT}
                    server.request(self.command, self.path, content, own)
                    found = server.getresponse()
                    answer = found.read()
                self.send_response(found.status)
                for name, value in found.getheaders():
                    if name.lower() not in LEFT_OUT:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def body(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def log_message(self, *_):
                pass

        self.delay_s = delay_s
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


LEFT_OUT = {"transfer-encoding", "content-length", "connection", "host", "date", "server"}
