"""Google's own Python client against the Google of this machine: if it can list, insert, watch and refresh, the sandbox that
the other tests rest on is no straw man.

Usage: client.py [CALWEAVE], the binary that `cargo build` makes.
"""

import base64
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
import uuid

from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError

ROOT = pathlib.Path(__file__).resolve().parents[3]
EMAIL = "grace@example.org"
SCOPES = ["openid", "https://www.googleapis.com/auth/calendar"]

passed = 0


def holds(what, condition, seen=None):
    global passed
    if not condition:
        raise AssertionError(f"{what}: {seen}")
    passed += 1
    print(f"ok  {what}", flush=True)


def start(binary):
    """The sandbox alone; answers with its process and the variables that it prints."""
    process = subprocess.Popen([binary, "--google-only"], stdout=subprocess.PIPE, text=True)
    variables = {}
    while len(variables) < 3:
        line = process.stdout.readline()
        if not line:
            raise AssertionError("the sandbox did not start")
        if match := re.match(r"export (\w+)='(.*)'", line):
            variables[match[1]] = match[2]
    return process, variables


def consent(google):
    """Grants everything in the person's browser: an authorization code and its verifier."""
    verifier = base64.urlsafe_b64encode(os.urandom(40)).rstrip(b"=").decode()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": "calweave", "redirect_uri": "http://localhost:1/back", "response_type": "code", "scope": " ".join(SCOPES),
        "state": "s", "access_type": "offline", "code_challenge": challenge, "code_challenge_method": "S256",
    }
    form = [*asked.items(), ("email", EMAIL), ("answer", "allow"), *(("granted", scope) for scope in SCOPES)]
    host = urllib.parse.urlsplit(google).netloc
    browser = http.client.HTTPConnection(host)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    browser.request("POST", "/o/oauth2/v2/consent", urllib.parse.urlencode(form), headers)
    back = urllib.parse.urlsplit(browser.getresponse().headers["location"])
    return dict(urllib.parse.parse_qsl(back.query))["code"], verifier


def tokens(google, **fields):
    body = urllib.parse.urlencode({"client_id": "calweave", "client_secret": "sandbox", **fields}).encode()
    with urllib.request.urlopen(f"{google}/token", body) as answer:
        return json.load(answer)


class Listener(http.server.BaseHTTPRequestHandler):
    heard = []
    news = threading.Condition()

    def do_POST(self):
        with Listener.news:
            Listener.heard.append(dict(self.headers))
            Listener.news.notify_all()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def hear(state):
    with Listener.news:
        return Listener.news.wait_for(lambda: any(one.get("x-goog-resource-state") == state for one in Listener.heard), 20)


def journey(google):
    code, verifier = consent(google)
    granted = tokens(google, grant_type="authorization_code", code=code, code_verifier=verifier, redirect_uri="http://localhost:1/back")
    credentials = Credentials(
        None, refresh_token=granted["refresh_token"], token_uri=f"{google}/token", client_id="calweave", client_secret="sandbox"
    )
    credentials.refresh(Request())
    holds("google-auth renews an access token", credentials.valid and credentials.token != granted["access_token"])
    calendar = discovery.build(
        "calendar", "v3", credentials=credentials, static_discovery=True, client_options={"api_endpoint": f"{google}/calendar/v3/"}
    )
    listed = calendar.calendarList().list().execute()["items"]
    holds("the client lists calendars", EMAIL in [one["id"] for one in listed], listed)

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{listener.server_port}/"
    body = {"id": str(uuid.uuid4()), "type": "web_hook", "address": address, "token": "secret"}
    channel = calendar.events().watch(calendarId="primary", body=body).execute()
    holds("it watches, and hears that the channel is open", channel["resourceId"] and hear("sync"), Listener.heard)

    def event(title, day, **more):
        time = lambda hour: {"dateTime": f"2027-01-{day:02}T{hour:02}:00:00+01:00", "timeZone": "Europe/Berlin"}
        return {"summary": title, "start": time(9), "end": time(10), **more}

    made = calendar.events().insert(calendarId="primary", body=event("One", 4, id="abcde12345")).execute()
    holds("it inserts under an id of its own", made["id"] == "abcde12345" and made["status"] == "confirmed", made)
    holds("and hears that something exists", hear("exists"), Listener.heard)
    try:
        calendar.events().insert(calendarId="primary", body=event("Two", 4, id="abcde12345")).execute()
        holds("an id is good once", False)
    except HttpError as error:
        holds("an id is good once", error.resp.status == 409 and error.error_details[0]["reason"] == "duplicate", error)

    for day in range(5, 12):
        calendar.events().insert(calendarId="primary", body=event(f"Day {day}", day)).execute()
    seen, request = [], calendar.events().list(calendarId="primary", maxResults=3)
    while request:
        page = request.execute()
        seen += page["items"]
        request = calendar.events().list_next(request, page)
    holds("it pages through a list", len(seen) == 8 and "nextSyncToken" in page, page)
    calendar.events().patch(calendarId="primary", eventId="abcde12345", body={"summary": "Changed"}).execute()
    calendar.events().delete(calendarId="primary", eventId=seen[1]["id"]).execute()
    changed = calendar.events().list(calendarId="primary", syncToken=page["nextSyncToken"]).execute()["items"]
    holds("a sync token tells what has changed", {one["status"] for one in changed} == {"confirmed", "cancelled"}, changed)

    weekly = event("Weekly", 4, recurrence=["RRULE:FREQ=WEEKLY;COUNT=5"])
    series = calendar.events().insert(calendarId="primary", body=weekly).execute()
    instances = calendar.events().instances(calendarId="primary", eventId=series["id"]).execute()["items"]
    holds("it lists the instances of a series", [one["start"]["dateTime"][:10] for one in instances][-1] == "2027-02-01", instances)
    window = {"timeMin": "2027-01-11T00:00:00Z", "timeMax": "2027-01-12T00:00:00Z"}
    single = calendar.events().list(calendarId="primary", singleEvents=True, orderBy="startTime", **window).execute()["items"]
    holds("and sees them as single events", sorted(one["summary"] for one in single) == ["Day 11", "Weekly"], single)
    busy = calendar.freebusy().query(body={**window, "items": [{"id": EMAIL}, {"id": "nobody@example.org"}]}).execute()["calendars"]
    holds("free/busy merges, and an unknown calendar is an error of its own",
          len(busy[EMAIL]["busy"]) == 1 and busy["nobody@example.org"]["errors"][0]["reason"] == "notFound", busy)
    zone = calendar.settings().get(setting="timezone").execute()
    holds("settings say the time zone", zone["value"] == "Europe/Berlin", zone)
    calendar.channels().stop(body={"id": channel["id"], "resourceId": channel["resourceId"]}).execute()
    holds("and it stops the channel", True)


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/calweave"
    process, variables = start(binary)
    try:
        journey(variables["GOOGLE_ENDPOINT"])
        print(f"{passed} passed, 0 failed")
        return 0
    except Exception as error:
        print(f"FAILED  {error}")
        print(f"{passed} passed, 1 failed")
        return 1
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


if __name__ == "__main__":
    sys.exit(main())
