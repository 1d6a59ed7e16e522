"""A headless Chromium, driven over the WebDriver protocol (https://www.w3.org/TR/webdriver2/)."""
import base64
import json
import re
import subprocess
import tempfile
import urllib.request

from vm import LIMIT

CONTROL, ALT, RETURN = "\ue009", "\ue00a", "\ue006"
ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--window-size=1100,800"]


class Browser:
    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="doppel-browser-", ignore_cleanup_errors=True)
        self.p = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        for line in self.p.stdout:
            m = re.search(r"started successfully on port (\d+)", line)
            if m:
                break
        self.base = f"http://127.0.0.1:{m.group(1)}/session"
        options = {"args": [*ARGS, f"--user-data-dir={self.dir.name}"]}
        made = self.ask("", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self.base += "/" + made["sessionId"]

    def ask(self, path, body):
        r = urllib.request.Request(self.base + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(r, timeout=LIMIT) as f:
            return json.load(f)["value"]

    def open(self, url):
        self.ask("/url", {"url": url})

    def run(self, script, *args):
        return self.ask("/execute/sync", {"script": script, "args": args})

    def keys(self, *names):
        """Pressed one after the other, then let go."""
        down = [{"type": "keyDown", "value": k} for k in names]
        up = [{"type": "keyUp", "value": k} for k in reversed(names)]
        self.ask("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": down + up}]})

    def picture(self, path):
        with urllib.request.urlopen(self.base + "/screenshot", timeout=LIMIT) as f:
            open(path, "wb").write(base64.b64decode(json.load(f)["value"]))

    def close(self):
        try:
            urllib.request.urlopen(urllib.request.Request(self.base, method="DELETE"), timeout=LIMIT).read()
        finally:
            self.p.terminate()
            self.p.wait(LIMIT)
            self.dir.cleanup()
