"""A program that keeps the runner contract, but for the one fault that its first argument names. Run as a process.

Its second argument, if there is one, is how many seconds it is at work; without it, it asks a model.
"""

import json
import os
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
WORK = float(sys.argv[2]) if len(sys.argv) > 2 else None
URL, FILE = os.environ["AGENTJOBS_GATEWAY_URL"], Path(os.environ["AGENTJOBS_TERMINATION_FILE"])
CODES = {"Succeed": 0, "Retry": 70, "Snooze": 75, "Fail": 78}
known = {"uid": ""}
FIRST = Path(os.environ["AGENTJOBS_TOKEN_FILE"]).read_text()


def token():
    return FIRST if FAULT == "old-token" else Path(os.environ["AGENTJOBS_TOKEN_FILE"]).read_text()


def trust():
    if FAULT == "trusts-every-certificate":
        return ssl._create_unverified_context()
    if FAULT == "no-authority":
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=os.environ.get("AGENTJOBS_GATEWAY_CA"))


def send(method, url, body=None, key=None):
    """Return status, seconds to wait, and the text; status 0 where no one answers."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key or token()}"}
    if FAULT == "no-token" and "result" in url:
        del headers["Authorization"]
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(
            request, timeout=60, context=trust() if url.startswith("https") else None
        ) as answer:
            return answer.status, 0.0, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, float(error.headers.get("Retry-After") or 0), error.read().decode()
    except (OSError, ValueError) as error:
        return 0, 0.0, str(error)


def gateway(method, path, body=None):
    until, pause = time.monotonic() + (1 if FAULT == "gives-up-early" else 120), 0.2
    while True:
        status, wait, text = send(method, URL + path, body)
        if status in (200, 204):
            try:
                return json.loads(text) if text else None
            except ValueError:
                if FAULT == "trusts-any-answer":
                    return {"final": body["result"]} if body else {}
        if status == 409 and FAULT != "ignores-fences":
            if FAULT == "talks-when-fenced":
                leave("Snooze", "Fenced", "another pod")
            os._exit(1 if FAULT == "other-code-when-fenced" else 76)
        if status in (400, 409, 413, 422):
            if FAULT == "success-when-refused":
                return {"final": body["result"]}
            leave("Retry", "ResultError", text)
        if time.monotonic() > until or FAULT == "tries-once":
            if FAULT == "success-when-unavailable":
                leave("Succeed", "", "", {"text": "x"})
            leave("Snooze", "JournalUnavailable", text)
        time.sleep(pause if FAULT == "hasty" else max(pause, wait))
        pause = min(2 * pause, 2)
        if FAULT == "changes-its-report" and body and "result" in body:
            body = {**body, "result": {**body["result"], "text": str(time.monotonic())}}


def leave(verdict, reason, message, result=None):
    text = (result or {}).get("text", "")
    word = {
        "agentjobs": 1,
        "verdict": verdict,
        "reason": reason,
        "start": 1 if FAULT == "start-of-its-own" else int(os.environ["AGENTJOBS_START"]),
        "uid": "another" if FAULT == "uid-of-its-own" else known["uid"],
        "message": message[:200],
        "summary": text if FAULT == "endless-summary" else text[:200],
    }
    if (result or {}).get("outcome") and FAULT != "no-outcome":
        word["outcome"] = result["outcome"]
    if FAULT == "another-summary":
        word["summary"] = "All went well."
    if FAULT == "replaces-the-file":
        FILE.with_name("new").write_text(json.dumps(word))
        FILE.with_name("new").replace(FILE)
    elif FAULT == "no-json":
        FILE.write_text("done")
    elif FAULT == "a-folder":
        FILE.unlink()
        FILE.mkdir()
    elif FAULT != "no-message" and (FAULT != "no-message-at-first" or os.environ["AGENTJOBS_START"] != "1"):
        FILE.write_text(json.dumps(word))
    if FAULT == "prints-its-token":
        print("asking with", token(), "x" * 100_000, flush=True)
    os._exit({"exits-with-0": 0, "exits-with-1": 1}.get(FAULT, CODES[verdict]))


def beat():
    while FAULT != "no-heartbeat":
        time.sleep(10)
        if FAULT != "ignores-fences":
            gateway("POST", "/v1/attempt/heartbeat", {})


def stop(*_):
    if FAULT == "ignores-sigterm":
        return
    if FAULT == "success-when-stopped":
        leave("Succeed", "", "", {"text": "half"})
    if FAULT == "silent-when-stopped":
        os._exit(143)
    if FAULT == "a-failure-when-stopped":
        leave("Fail", "AgentError", "killed")
    leave("Snooze", "Interrupted", "told to stop")


def ask(message):
    if WORK is not None or FAULT == "hides":
        time.sleep(WORK or 0)
        return message
    url = os.environ["AGENTJOBS_MODELS_URL"] + "/anthropic/v1/messages"
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": message}]}
    status, _, text = send("POST", url, body, "sk-of-its-own" if FAULT == "key-of-its-own" else None)
    if status == 402:
        if FAULT == "success-without-model":
            return "I could not ask."
        leave("Retry" if FAULT == "retries-402" else "Fail", "BudgetExceeded", text)
    if status != 200:
        leave("Retry", "ModelUnavailable", text)
    return json.loads(text)["content"][0]["text"]


def structured(spec):
    if "schema" not in spec.get("output", {}) or FAULT == "no-structure":
        return {"structured": None}
    found = {"mood": 3 if FAULT == "misfit" else "fine"}
    return {"structured": found, "outcome": None if FAULT == "no-outcome-of-its-own" else "fine"}


def main():
    if FAULT == "floods":
        while True:
            os.write(1, b"z" * 65536)
    if FAULT == "hangs":
        time.sleep(600)
    if FAULT == "reports-first":
        send("POST", URL + "/v1/attempt/heartbeat", {})
    signal.signal(signal.SIGTERM, stop)
    attempt = gateway("GET", "/v1/attempt")
    known["uid"] = attempt["uid"]
    if attempt["result"] and FAULT != "works-again":
        leave("Succeed", "", "", attempt["result"])
    threading.Thread(target=beat, daemon=True).start()
    if FAULT == "wrong-event":
        send("POST", URL + "/v1/attempt/events", {"events": [{"seq": "one"}]})
    if FAULT == "token-in-an-event":
        event = {"seq": 1, "time": "2026-01-01T00:00:00Z", "kind": "text", "author": "x", "data": {"with": token()}}
        gateway("POST", "/v1/attempt/events", {"events": [event]})
    spec = attempt["resolved"]["spec"]
    result = {"text": ask(spec["input"]["message"]), "usage": {}, **structured(spec)}
    if FAULT == "never-reports":
        leave("Succeed", "", "", result)
    end = {"verdict": "Succeed", "reason": "Answered", "message": "", "delaySeconds": None, "result": result}
    if FAULT == "wrong-result":
        end["result"] = {"answer": "hi"}
    final = gateway("PUT", "/v1/attempt/result", end)["final"]
    if FAULT == "fails-after-all":
        leave("Retry", "AgentError", "could not tidy up")
    leave("Succeed", "", "", result if FAULT == "ignores-the-final-result" else final)


main()
