"""The backend against a Microsoft Graph that somebody else wrote (`graph.py`): what a person does here, at Microsoft, or at both.

Usage: journey.py [CALWEAVE], the binary that `cargo build` makes. Prints one line for each scenario; a scenario that fails does
not stop the others. SCENARIOS=moved,lost runs those whose name contains one of these words.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.parse
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

HERE = pathlib.Path(__file__).resolve()
BERLIN, BERLIN_THERE = ZoneInfo("Europe/Berlin"), "W. Europe Standard Time"
TODAY = date.today()
MONDAY = TODAY + timedelta(7 - TODAY.weekday())
WINDOW = (TODAY - timedelta(14), TODAY + timedelta(150))


def holds(condition, seen=None):
    if not condition:
        raise AssertionError(str(seen)[:1500])


def day(number):
    """A day, counted from next Monday."""
    return MONDAY + timedelta(number)


def eventually(check, seconds=20, between=lambda: time.sleep(0.2)):
    """Waits until a check no longer fails; `between` is called before it is tried again."""
    until = time.time() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.time() > until:
                raise
            between()


class Server:
    """One HTTP server, called with JSON."""

    def __init__(self, base):
        self.base, self.token = base, None

    def send(self, method, target, body=None, headers=(), timeout=60):
        url = urllib.parse.urlsplit(urllib.parse.urljoin(self.base, target))
        connection = http.client.HTTPConnection(url.netloc, timeout=timeout)
        told = {"content-type": "application/json", **dict(headers)}
        if self.token:
            told["authorization"] = "Bearer " + self.token
        path = url.path + ("?" + url.query if url.query else "")
        try:
            connection.request(method, path, None if body is None else json.dumps(body), told)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, answer.headers, json.loads(raw) if raw else None
        except ValueError:
            return answer.status, answer.headers, raw.decode(errors="replace")

    def call(self, method, target, body=None, **more):
        status, _, value = self.send(method, target, body, **more)
        holds(status < 300, f"{method} {target}: {status} {value}")
        return value


class There(Server):
    """The mailbox, as its owner uses it with another client."""

    def __init__(self, base):
        super().__init__(base)
        told = self.control("token")
        self.token, self.calendars = told["token"], told["calendars"]

    def control(self, op, **order):
        return self.call("POST", "/control", {"op": op, **order})

    def calls(self, method=None, path="", since=0.0):
        """The backend's calls."""
        return [one for one in self.call("GET", "/control")["calls"]
                if one["by"] != "user" and method in (None, one["method"]) and path in one["path"] and one["at"] >= since]

    def between(self, low, high):
        """What the backend called in this time, and how long after its beginning."""
        return [(one["method"], one["path"][-30:], round(one["at"] - low, 2)) for one in self.calls() if low < one["at"] < high]

    def ask(self, method, path, body=None, **query):
        target = f"/v1.0/me{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        return self.call(method, target, body, headers={"Prefer": 'IdType="ImmutableId"'})

    def make(self, place, subject, start, minutes=60, **more):
        """An event at a Berlin wall-clock time, or on a date."""
        if isinstance(start, datetime):
            end = start + timedelta(minutes=minutes)
        else:
            start = datetime.combine(start, datetime.min.time())
            end, more["isAllDay"] = start + timedelta(1), True
        return self.ask("POST", f"/calendars/{quoted(place)}/events", {"subject": subject, "start": at(start), "end": at(end), **more})

    def view(self, place, low=None, high=None):
        low, high = low or WINDOW[0], high or WINDOW[1]
        found, skip = [], 0
        while True:
            query = {"startDateTime": f"{low}T00:00:00Z", "endDateTime": f"{high}T00:00:00Z", "$top": 100, "$skip": skip}
            page = self.ask("GET", f"/calendars/{quoted(place)}/calendarView", **query)
            found += page["value"]
            skip += 100
            if "@odata.nextLink" not in page:
                return found

    def titled(self, place, subject):
        return [one for one in self.view(place) if one["subject"] == subject]

    def instances(self, ident):
        found = self.ask("GET", f"/events/{quoted(ident)}/instances", startDateTime=f"{WINDOW[0]}T00:00:00Z", endDateTime=f"{WINDOW[1]}T00:00:00Z",
                         **{"$top": 200, "$select": "subject,start,end,type,originalStart"})
        return sorted(found["value"], key=lambda one: one["originalStart"])

    def patch(self, ident, **changes):
        return self.ask("PATCH", f"/events/{quoted(ident)}", changes)

    def remove(self, ident):
        return self.ask("DELETE", f"/events/{quoted(ident)}")


class Here(Server):
    """The backend's API, as one person uses it."""

    def sign_up(self):
        person = {"email": "adele@example.org", "password": "correct horse battery", "timezone": "Europe/Berlin"}
        told = self.call("POST", "/api/v1/auth/signup", person)
        self.token = told["accessToken"]

    def link(self, names):
        """Consents as a browser does, and selects calendars by their names."""
        status, headers, login = self.send("GET", "/api/v1/calendar/oauth/microsoft/login")
        holds(status == 200, login)
        cookie = headers["set-cookie"].split(";")[0]
        status, headers, told = Server(login["authUrl"]).send("GET", login["authUrl"])
        holds(status == 302, (status, told))
        status, headers, told = Server(self.base).send("GET", headers["location"], headers={"cookie": cookie})
        holds(status == 303, (status, told))
        back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(headers["location"]).query))
        holds("session" in back, back)
        offer = self.call("GET", f"/api/v1/calendar/oauth/session/{back['session']}")
        wanted = [one["id"] for one in offer["calendars"] if one["name"] in names]
        told = self.call("POST", "/api/v1/calendar/oauth/microsoft/select", {"sessionId": back["session"], "selectedCalendarIds": wanted})
        return {one["name"]: one["id"] for one in told["calendars"]}

    def sync(self, place):
        told = self.call("POST", f"/api/v1/calendar/calendars/{place}/sync?wait=25", {})
        return told

    def events(self, place):
        found, cursor = [], {}
        while True:
            query = {"start": WINDOW[0], "end": WINDOW[1], "calendarIds": place, "limit": 2500, "timezone": "UTC", **cursor}
            page = self.call("GET", "/api/v1/calendar/events?" + urllib.parse.urlencode(query))
            found += page["events"]
            if not page["nextCursor"]:
                return [one for one in found if one["status"] != "CANCELLED"]
            cursor = {"cursor": page["nextCursor"]}

    def titled(self, place, title):
        return sorted((one for one in self.events(place) if one["title"] == title), key=lambda one: one["startTime"])

    def make(self, place, title, start, minutes=60, **more):
        times = {"startTime": start.isoformat(), "endTime": (start + timedelta(minutes=minutes)).isoformat(), "timezone": "Europe/Berlin"}
        return self.call("POST", "/api/v1/calendar/events?wait=25", {"calendarId": place, "title": title, **times, **more})

    def change(self, ident, **changes):
        return self.call("PUT", f"/api/v1/calendar/events/{quoted(ident)}?wait=25", changes)

    def remove(self, ident):
        return self.send("DELETE", f"/api/v1/calendar/events/{quoted(ident)}?wait=25")

    def status(self, place):
        return next(one for one in self.call("GET", "/api/v1/sync/status")["calendars"] if one["calendarId"] == place)


def quoted(text):
    return urllib.parse.quote(text, safe="")


def at(local):
    return {"dateTime": local.isoformat(), "timeZone": BERLIN_THERE}


def clock(number, hour=9, minute=0):
    """A wall-clock time on a day that is counted from next Monday."""
    return datetime.combine(day(number), datetime.min.time()) + timedelta(hours=hour, minutes=minute)


def hour_of(event):
    return datetime.fromisoformat(event["startTime"]).astimezone(BERLIN).hour


def instant(local):
    return local.replace(tzinfo=BERLIN).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M")


def weekly(number, count=None, days=("monday",), interval=1, **span):
    ends = {"type": "numbered", "numberOfOccurrences": count} if count else {"type": "noEnd"}
    pattern = {"type": "weekly", "interval": interval, "daysOfWeek": list(days), "firstDayOfWeek": "monday"}
    return {"pattern": pattern, "range": {"startDate": str(day(number)), **ends, **span}}


def daily(number, count, interval=1):
    span = {"type": "numbered", "startDate": str(day(number)), "numberOfOccurrences": count}
    return {"pattern": {"type": "daily", "interval": interval}, "range": span}


class Journey:
    def __init__(self, there, here):
        self.there, self.here = there, here
        self.main_there, self.side_there = there.calendars["Calendar"], there.calendars["Side projects"]
        self.main = self.side = None

    # What both sides show, in one form.

    def shown_there(self, place):
        form = lambda value, one: value["dateTime"][:10 if one["isAllDay"] else 16]
        return sorted((one["subject"], form(one["start"], one), form(one["end"], one)) for one in self.there.view(place))

    def shown_here(self, place):
        def form(text):
            return text if len(text) == 10 else datetime.fromisoformat(text).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M")
        return sorted((one["title"], form(one["startTime"]), form(one["endTime"])) for one in self.here.events(place))

    def starts_here(self, place, title):
        return [start for one, start, _ in self.shown_here(place) if one == title]

    def starts_there(self, place, title):
        return [start for one, start, _ in self.shown_there(place) if one == title]

    def starts_eventually(self, title, wanted):
        """Syncs until the events of this title start at these times there."""
        eventually(lambda: holds(self.starts_there(self.main_there, title) == wanted, self.starts_there(self.main_there, title)), between=self.sync)

    def once_there(self, title):
        """Syncs until there is one event of this title there."""
        eventually(lambda: holds(len(self.there.titled(self.main_there, title)) == 1, title), 40, self.sync)

    def same(self, place=None):
        pairs = [(self.main, self.main_there), (self.side, self.side_there)]
        for local, remote in [pair for pair in pairs if place in (None, pair[0])]:
            here, there = self.shown_here(local), self.shown_there(remote)
            missing, extra = [one for one in there if one not in here], [one for one in here if one not in there]
            holds(here == there, f"missing here: {missing[:5]}; only here: {extra[:5]}; {len(here)} here, {len(there)} there")

    def settle(self, *places, seconds=25):
        """Syncs until both sides show the same."""
        for place in places or (self.main, self.side):
            told = self.here.sync(place)
            holds(told["syncStatus"] != "FAILED", told)
            eventually(lambda: self.same(place), seconds, lambda: (time.sleep(0.3), self.here.sync(place)))

    def series_there(self, place, title, number, count=5, hour=9, **more):
        """A weekly series made there and known here. Returns its id."""
        rule = weekly(number, count, [clock(number).strftime("%A").lower()])
        ident = self.there.make(place, title, clock(number, hour), recurrence=rule, **more)["id"]
        self.settle(self.main if place == self.main_there else self.side)
        return ident

    def sync(self):
        time.sleep(0.2)
        return self.here.sync(self.main)

    # The scenarios.

    def mixed_first_sync(self):
        """A first sync reads singles, an all-day event, series, an exception and a cancelled occurrence, over several pages"""
        there, main = self.there, self.main_there
        for number in range(60):
            there.make(main, f"Single {number}", clock(number, 8 + number % 9))
        there.make(main, "Whole day", day(3))
        there.make(main, "Two whole days", day(5), recurrence=weekly(5, 4, [day(5).strftime("%A").lower()]))
        series = there.make(main, "Weekly", clock(0, 10), recurrence=weekly(0, 8))["id"]
        found = there.instances(series)
        there.patch(found[2]["id"], subject="Weekly, elsewhere", start=at(clock(15, 15)), end=at(clock(15, 16)))
        there.remove(found[4]["id"])
        for number in range(6):
            there.make(main, f"Daily {number}", clock(0, 6 + number), 15, recurrence=daily(0, 100 + number))
        there.make(main, "Without end", clock(1, 18), recurrence=weekly(1, None, ["tuesday", "thursday"], 2))
        there.make(self.side_there, "On the side", clock(2, 11))
        self.here.sign_up()
        linked = self.here.link(["Calendar", "Side projects"])
        self.main, self.side = linked["Calendar"], linked["Side projects"]
        self.settle()
        pages = [one for one in there.calls("GET", "delta") if main in one["path"]]
        holds(len([one for one in pages if "$skiptoken" in one["query"]]) > 3, len(pages))
        holds(self.starts_here(self.main, "Weekly, elsewhere") == [instant(clock(15, 15))])
        holds(len(self.starts_here(self.main, "Weekly")) == 6)

    def moved_there(self):
        """An occurrence moved there is at its new time only"""
        series = self.series_there(self.main_there, "Moved there", 1)
        self.there.patch(self.there.instances(series)[2]["id"], start=at(clock(16, 14)), end=at(clock(16, 15)))
        self.settle(self.main)
        starts = self.starts_here(self.main, "Moved there")
        holds(len(starts) == 5 and instant(clock(16, 14)) in starts and instant(clock(15, 9)) not in starts, starts)

    def moved_changed_here(self):
        """A moved occurrence that is changed here is changed there"""
        series = self.series_there(self.main_there, "Moved, then changed", 2)
        ident = self.there.instances(series)[1]["id"]
        self.there.patch(ident, start=at(clock(10, 15)), end=at(clock(10, 16)))
        self.settle(self.main)
        one = next(one for one in self.here.titled(self.main, "Moved, then changed") if hour_of(one) == 15)
        self.here.change(one["id"], title="Renamed here", location="Room 7")
        self.once_there("Renamed here")
        changed = self.there.titled(self.main_there, "Renamed here")[0]
        holds(changed["location"]["displayName"] == "Room 7" and changed["start"]["dateTime"][:16] == instant(clock(10, 15)), changed)
        holds(len(self.there.instances(series)) == 5 and len(self.there.titled(self.main_there, "Moved, then changed")) == 4)
        one = self.here.titled(self.main, "Renamed here")[0]
        self.here.change(one["id"], startTime=clock(10, 17).isoformat(), timezone="Europe/Berlin")
        self.starts_eventually("Renamed here", [instant(clock(10, 17))])
        self.settle(self.main)

    def moved_deleted_here(self):
        """A moved occurrence that is deleted here is deleted there"""
        series = self.series_there(self.main_there, "Moved, then deleted", 3)
        self.there.patch(self.there.instances(series)[3]["id"], start=at(clock(25, 16)), end=at(clock(25, 17)))
        self.settle(self.main)
        one = next(one for one in self.here.titled(self.main, "Moved, then deleted") if hour_of(one) == 16)
        status, _, told = self.here.remove(one["id"])
        holds(status in (200, 202, 204), (status, told))
        eventually(lambda: holds(len(self.there.instances(series)) == 4, self.there.instances(series)), between=self.sync)
        holds(all(one["type"] == "occurrence" for one in self.there.instances(series)))
        self.settle(self.main)

    def moved_between_calendars(self):
        """An event moved between two calendars there is in the other one only, whichever is synced first"""
        for order, name in (((0, 1), "Goes, first noticed there"), ((1, 0), "Goes, first noticed here")):
            one = self.there.make(self.main_there, name, clock(4, 13))
            self.settle(self.main)
            self.there.control("move", id=one["id"], calendar=self.side_there)
            for at_place in order:
                self.here.sync((self.main, self.side)[at_place])
            self.settle()
            holds(not self.here.titled(self.main, name) and len(self.here.titled(self.side, name)) == 1)
        series = self.series_there(self.main_there, "A series goes", 4, 4)
        self.there.control("move", id=series, calendar=self.side_there)
        self.settle()
        holds(not self.here.titled(self.main, "A series goes") and len(self.here.titled(self.side, "A series goes")) == 4)

    def deleted_there(self):
        """An event, a series and an occurrence that are deleted there are gone here"""
        one = self.there.make(self.main_there, "Goes there", clock(5, 13))
        series = self.series_there(self.main_there, "A series goes there", 5)
        part = self.series_there(self.main_there, "One of it goes there", 5, hour=12)
        holds(self.here.titled(self.main, "Goes there"))
        self.there.remove(one["id"])
        self.there.remove(series)
        self.there.remove(self.there.instances(part)[1]["id"])
        self.settle(self.main)
        holds(not self.here.titled(self.main, "Goes there") and not self.here.titled(self.main, "A series goes there"))
        holds(len(self.here.titled(self.main, "One of it goes there")) == 4)

    def deleted_here(self):
        """An event, a series and an occurrence that are deleted here are gone there"""
        self.there.make(self.main_there, "Goes here", clock(6, 13))
        self.series_there(self.main_there, "A series goes here", 6)
        part = self.series_there(self.main_there, "One of it goes here", 6, hour=12)
        self.here.remove(self.here.titled(self.main, "Goes here")[0]["id"])
        self.here.remove(self.here.titled(self.main, "A series goes here")[0]["seriesId"])
        self.here.remove(self.here.titled(self.main, "One of it goes here")[2]["id"])
        left = lambda: [one for title in ("Goes here", "A series goes here") for one in self.there.titled(self.main_there, title)]
        eventually(lambda: holds(not left() and len(self.there.instances(part)) == 4, left()), between=self.sync)
        self.settle(self.main)

    def deleted_on_both_sides(self):
        """What is deleted on both sides is quietly gone"""
        one = self.there.make(self.main_there, "Goes twice", clock(7, 13))
        series = self.series_there(self.main_there, "One of it goes twice", 7)
        mine = self.here.titled(self.main, "Goes twice")[0]["id"]
        part = self.here.titled(self.main, "One of it goes twice")[1]["id"]
        self.there.remove(one["id"])
        self.there.remove(self.there.instances(series)[1]["id"])
        for ident in (mine, part):
            status, _, told = self.here.remove(ident)
            holds(status in (200, 202, 204, 404), (status, told))
        self.settle(self.main)
        status = lambda: self.here.status(self.main)
        eventually(lambda: holds(status()["pendingEdits"] == 0 and status()["lastError"] is None, status()), between=self.sync)
        holds(len(self.there.instances(series)) == 4)

    def huge_event(self):
        """An event of more than 400 KB costs only itself"""
        text = "A thread that was forwarded again and again.\r\n" * 14_000
        self.there.make(self.main_there, "Huge", clock(8, 13), body={"contentType": "text", "content": text})
        self.there.make(self.main_there, "Beside the huge one", clock(8, 15))
        self.settle(self.main)
        holds(len(self.here.titled(self.main, "Huge")) == 1 and len(self.here.titled(self.main, "Beside the huge one")) == 1)
        self.here.change(self.here.titled(self.main, "Huge")[0]["id"], title="Huge, renamed")
        self.once_there("Huge, renamed")
        kept = self.there.titled(self.main_there, "Huge, renamed")[0]["body"]["content"]
        holds(len(kept) > 600_000, len(kept))

    def pushed(self):
        """A change of a second calendar arrives without a sync"""
        subscribed = self.there.call("GET", "/control")["subscriptions"]
        holds({one["_calendar"] for one in subscribed} == {self.main_there, self.side_there}, subscribed)
        one = self.there.make(self.side_there, "Pushed", clock(9, 13))
        eventually(lambda: holds(len(self.here.titled(self.side, "Pushed")) == 1, self.there.call("GET", "/control")["told"][-2:]))
        self.there.patch(one["id"], subject="Pushed again")
        eventually(lambda: holds(len(self.here.titled(self.side, "Pushed again")) == 1))
        self.there.remove(one["id"])
        eventually(lambda: holds(not self.here.titled(self.side, "Pushed again")))
        told = self.there.call("GET", "/control")["told"]
        holds(all(one["status"] == 202 for one in told), [one["status"] for one in told])

    def one_503(self):
        """One 503 in the middle of a full read is survived"""
        self.there.control("expire")
        self.there.control("fault", method="GET", path="delta", status=503, skip=2)
        before = self.shown_here(self.main)
        since = time.time()
        self.there.make(self.main_there, "Read in spite of it", clock(10, 13))
        self.settle(self.main)
        failed = [one for one in self.there.calls("GET", "delta", since) if one["status"] == 503]
        holds(len(failed) == 1, failed)
        holds(len(self.shown_here(self.main)) == len(before) + 1)

    def lost_answer(self):
        """An event created here is there once, though the answer to its creation was lost, however a repetition is answered"""
        for mode in ("400", "409", "same"):
            self.there.control("duplicates", **{"as": mode})
            for status in (0, 504):
                self.there.control("fault", method="POST", path="/events$", status=status, after=True)
                name = f"Lost {mode} {status}"
                self.here.make(self.main, name, clock(11, 13))
                settled = lambda: [one["syncStatus"] for one in self.here.titled(self.main, name)]
                eventually(lambda: holds(settled() == ["SYNCED"], self.here.titled(self.main, name)), 40, self.sync)
                holds(len(self.there.titled(self.main_there, name)) == 1, self.there.titled(self.main_there, name))
                posts = [one["status"] for one in self.there.calls("POST", "/events") if one["body"].get("subject") == name]
                holds(posts[0] == status, posts)
        self.there.control("duplicates", **{"as": "400"})
        self.settle(self.main)

    def series_made_here(self):
        """A series made here has its occurrences there, and a changed rule reaches it"""
        self.here.make(self.main, "Made here", clock(0, 19), recurrenceRule="FREQ=WEEKLY;BYDAY=MO,WE;COUNT=6")
        wanted = [instant(clock(number, 19)) for number in (0, 2, 7, 9, 14, 16)]
        self.starts_eventually("Made here", wanted)
        self.settle(self.main)
        series = self.here.titled(self.main, "Made here")[0]["seriesId"]
        self.here.change(series, recurrenceRule="FREQ=DAILY;INTERVAL=2;COUNT=4")
        wanted = [instant(clock(number, 19)) for number in (0, 2, 4, 6)]
        self.starts_eventually("Made here", wanted)
        self.settle(self.main)

    def throttled(self):
        """A 429 is honoured: no call of that mailbox before its Retry-After"""
        self.there.control("fault", method="GET", path="delta", status=429, code="ApplicationThrottled", retryAfter=6)
        self.there.make(self.main_there, "After the pause", clock(12, 13))
        since = time.time()
        self.here.call("POST", f"/api/v1/calendar/calendars/{self.main}/sync", {})
        refused = lambda: [one for one in self.there.call("GET", "/control")["calls"] if one["status"] == 429 and one["at"] >= since]
        eventually(lambda: holds(refused(), "no 429"))
        for place in (self.main, self.side):
            self.here.call("POST", f"/api/v1/calendar/calendars/{place}/sync", {})
        time.sleep(7)
        begin = refused()[0]["ended"]
        early = self.there.between(begin, begin + 5.9)
        holds(not early, early)
        eventually(lambda: holds(len(self.here.titled(self.main, "After the pause")) == 1), 40)
        self.settle()

    def new_pattern_there(self):
        """A series that gets another day there keeps no old occurrence here"""
        series = self.series_there(self.main_there, "Another day", 1, 6, 20)
        self.there.patch(self.there.instances(series)[1]["id"], subject="Another day, changed")
        self.settle(self.main)
        self.there.patch(series, start=at(clock(4, 20)), end=at(clock(4, 21)), recurrence=weekly(4, 3, ["friday"]))
        self.settle(self.main)
        holds(self.starts_here(self.main, "Another day") == [instant(clock(number, 20)) for number in (4, 11, 18)])
        holds(not self.here.titled(self.main, "Another day, changed"))

    def all_day_exception(self):
        """An all-day occurrence moved to the next day there, and one removed, are so here"""
        series = self.there.make(self.main_there, "Whole days", day(1), recurrence=weekly(1, 5, ["tuesday"]))["id"]
        self.settle(self.main)
        found = self.there.instances(series)
        self.there.patch(found[1]["id"], start=at(clock(9, 0)), end=at(clock(10, 0)))
        self.there.remove(found[3]["id"])
        self.settle(self.main)
        holds(self.starts_here(self.main, "Whole days") == [str(day(number)) for number in (1, 9, 15, 29)], self.starts_here(self.main, "Whole days"))

    def changed_on_both_sides(self):
        """Another field changed on each side: both reach the other"""
        one = self.there.make(self.main_there, "Both", clock(13, 13))
        self.settle(self.main)
        mine = self.here.titled(self.main, "Both")[0]["id"]
        self.there.patch(one["id"], location={"displayName": "Their room"})
        self.here.change(mine, title="Both, renamed here")
        self.once_there("Both, renamed here")
        mine = lambda: self.here.titled(self.main, "Both, renamed here")
        eventually(lambda: holds(mine()[0]["location"] == "Their room", mine()), between=self.sync)
        holds(self.there.titled(self.main_there, "Both, renamed here")[0]["location"]["displayName"] == "Their room")

    def zones_and_seasons(self):
        """Series in other zones, over a change to summer time, and one whose rule names no zone"""
        for name, kept in (("New York", "Eastern Standard Time"), ("Tokyo", "Tokyo Standard Time"), ("London", "GMT Standard Time"), ("UTC", "UTC")):
            start, end = ({"dateTime": clock(2, hour, 30).isoformat(), "timeZone": kept} for hour in (22, 23))
            span = weekly(2, 20, ["wednesday"], recurrenceTimeZone=kept)
            event = {"subject": f"In {name}", "start": start, "end": end, "recurrence": span}
            one = self.there.ask("POST", f"/calendars/{quoted(self.main_there)}/events", event)
            if name == "London":
                self.there.control("odd", id=one["id"], values={"recurrenceTimeZone": ""})
            self.there.patch(self.there.instances(one["id"])[3]["id"], subject=f"In {name}, changed")
            self.there.remove(self.there.instances(one["id"])[17]["id"])
        self.settle(self.main)
        holds(len(self.starts_here(self.main, "In New York")) == 18, self.starts_here(self.main, "In New York"))

    def monthly_and_yearly(self):
        """Monthly and yearly rules of both sides"""
        first = lambda meets: next(datetime.combine(day(number), datetime.min.time()) for number in range(62) if meets(day(number)))
        for title, begin, pattern in (
            ("The 31st", first(lambda one: one.day == 31), {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}),
            ("Second Tuesday", first(lambda one: one.weekday() == 1 and 8 <= one.day <= 14),
             {"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["tuesday"], "index": "second"}),
        ):
            span = {"type": "numbered", "numberOfOccurrences": 4, "startDate": str(begin.date())}
            self.there.make(self.main_there, title, begin + timedelta(hours=21), recurrence={"pattern": pattern, "range": span})
        begin = first(lambda one: one.weekday() == 4 and (one + timedelta(7)).month != one.month)
        self.here.make(self.main, "Last Friday", begin + timedelta(hours=20), recurrenceRule="FREQ=MONTHLY;BYDAY=-1FR;COUNT=4")
        whole = {"startTime": str(day(3)), "endTime": str(day(4)), "isAllDay": True}
        self.here.make(self.main, "Whole days here", clock(3, 0), recurrenceRule="FREQ=WEEKLY;COUNT=3", **whole)
        self.settle(self.main)
        holds(len(self.starts_there(self.main_there, "Last Friday")) >= 3 and len(self.starts_there(self.main_there, "Whole days here")) == 3)

    def series_changed_here(self):
        """A series made here keeps what is different of it when its place, its length and its rule are changed here"""
        self.here.make(self.main, "Kept", clock(1, 7), recurrenceRule="FREQ=WEEKLY;BYDAY=TU;COUNT=6")
        parts = self.here.titled(self.main, "Kept")
        self.here.change(parts[1]["id"], startTime=clock(9, 16).isoformat(), timezone="Europe/Berlin")
        self.here.change(parts[2]["id"], title="Kept, by another name")
        self.here.remove(parts[3]["id"])
        self.settle(self.main)
        series = parts[0]["seriesId"]
        self.here.change(series, location="Room 9")
        self.settle(self.main)
        rooms = {one["location"]["displayName"] for one in self.there.titled(self.main_there, "Kept")}
        holds(rooms == {"Room 9"}, rooms)
        self.here.change(series, recurrenceRule="FREQ=WEEKLY;BYDAY=TU;COUNT=7", endTime=clock(1, 8, 30).isoformat(), timezone="Europe/Berlin")
        self.settle(self.main, seconds=30)
        starts = self.starts_there(self.main_there, "Kept")
        holds(starts == [instant(one) for one in (clock(1, 7), clock(9, 16), clock(29, 7), clock(36, 7), clock(43, 7))], starts)
        holds(len(self.there.titled(self.main_there, "Kept, by another name")) == 1)

    def rule_changed_twice(self):
        """The rule of a series with a removed occurrence can be changed here twice"""
        self.here.make(self.main, "Twice", clock(3, 7), recurrenceRule="FREQ=WEEKLY;BYDAY=TH;COUNT=4")
        parts = self.here.titled(self.main, "Twice")
        self.here.remove(parts[2]["id"])
        self.settle(self.main)
        for count in (5, 6):
            told = self.here.change(parts[0]["seriesId"], recurrenceRule=f"FREQ=WEEKLY;BYDAY=TH;COUNT={count}")
            self.settle(self.main)
            starts = self.starts_there(self.main_there, "Twice")
            holds(len(starts) == count - 1, (count, starts, told["recurrenceRule"], told["syncStatus"], told["keptEdit"]))

    def series_put_off_here(self):
        """A series whose start is changed here begins then on both sides"""
        self.here.make(self.main, "Put off here", clock(2, 7), recurrenceRule="FREQ=WEEKLY;BYDAY=WE;COUNT=4")
        series = self.here.titled(self.main, "Put off here")[0]["seriesId"]
        self.there.patch(self.there.titled(self.main_there, "Put off here")[1]["id"], subject="Put off there")
        self.settle(self.main)
        self.here.change(series, startTime=clock(2, 7, 15).isoformat(), timezone="Europe/Berlin")
        self.settle(self.main)
        holds(instant(clock(2, 7, 15)) in self.starts_there(self.main_there, "Put off here"))

    def implied_weekday(self):
        """A rule whose day is implied can be changed here after its occurrence was deleted here, or another field changed there"""
        lost = []
        for short in ("FREQ=WEEKLY", "FREQ=MONTHLY"):
            for how in ("deleted here", "changed there"):
                name = f"{short} {how}"
                self.here.make(self.main, name, clock(1, 5), recurrenceRule=f"{short};COUNT=4")
                self.settle(self.main)
                parts = self.here.titled(self.main, name)
                if how == "deleted here":
                    self.here.remove(parts[2]["id"])
                    self.settle(self.main)
                else:
                    self.there.patch(self.there.titled(self.main_there, name)[0]["seriesMasterId"], location={"displayName": "Elsewhere"})
                told = self.here.change(parts[0]["seriesId"], recurrenceRule=f"{short};COUNT=3")
                self.settle(self.main)
                if len(self.there.titled(self.main_there, name)) != (2 if how == "deleted here" else 3):
                    lost.append((name, told["recurrenceRule"], told["syncStatus"], told["keptEdit"]))
        holds(not lost, lost)

    def oddities(self):
        """Events with the odd values of real mailboxes neither stop a sync nor their neighbours"""
        odd = {
            "no subject": {"subject": None}, "no iCalUId": {"iCalUId": None}, "no body": {"body": None, "bodyPreview": ""},
            "an unknown zone": {"originalStartTimeZone": "Customized Time Zone", "originalEndTimeZone": "tzone://Microsoft/Custom"},
            "unknown words": {"showAs": "asleep", "sensitivity": "secret", "importance": "none"}, "no organizer": {"organizer": None},
            "an attendee without address": {"attendees": [{"type": "resource", "status": {"response": "none"}, "emailAddress": {"name": "R"}}]},
            "a place without name": {"location": {"displayName": None}, "locations": []},
            "no status": {"responseStatus": {"response": None, "time": None}},
        }
        for number, (name, values) in enumerate(odd.items()):
            one = self.there.make(self.main_there, f"Odd: {name}", clock(number, 22))
            self.there.control("odd", id=one["id"], values=values)
        rule = {"pattern": {"type": "lunar", "interval": 1}, "range": {"type": "noEnd", "startDate": str(day(0))}}
        strange = self.there.make(self.main_there, "Odd: a rule", clock(0, 22), recurrence=weekly(0, 3))["id"]
        self.there.control("odd", id=strange, values={"recurrence": rule})
        self.there.make(self.main_there, "Beside the odd ones", clock(1, 23))
        told = self.here.sync(self.main)
        holds(told["syncStatus"] == "SYNCED", told)
        titles = {one["title"] for one in self.here.events(self.main)}
        holds(not {f"Odd: {name}" for name in odd if name != "no subject"} - titles and "Beside the odd ones" in titles, titles)
        for one in self.there.view(self.main_there):
            if one["subject"] is None or one["subject"].startswith("Odd: ") and one["type"] == "singleInstance":
                self.there.remove(one["id"])
        self.there.remove(strange)
        self.settle(self.main)

    def edits_of_what_is_gone(self):
        """What is changed here after it was deleted, or moved away, there, fails with a reason, and is then deleted here"""
        away = self.there.calendars["Birthdays"]
        leave = lambda ident: self.there.control("move", id=ident, calendar=away)
        for name, go in (("Edited, deleted", self.there.remove), ("Edited, moved", leave)):
            one = self.there.make(self.main_there, name, clock(22, 13))
            self.settle(self.main)
            mine = self.here.titled(self.main, name)[0]["id"]
            self.there.control("fault", method="GET", path="delta", status=503)  # the edit is there before the news
            go(one["id"])
            status, _, _ = self.here.send("PUT", f"/api/v1/calendar/events/{quoted(mine)}?wait=0", {"title": name + ", renamed"})
            if status < 300:
                failed = lambda: [one["syncStatus"] for one in self.here.titled(self.main, name + ", renamed")] == ["FAILED"]
                eventually(lambda: holds(failed(), self.here.titled(self.main, name + ", renamed")), between=self.sync)
                holds(self.here.titled(self.main, name + ", renamed")[0]["syncError"])
                self.here.remove(mine)
            self.there.control("calm")
            self.settle(self.main)
            holds(self.here.status(self.main)["pendingEdits"] == 0, self.here.status(self.main))

    def old_series(self):
        """A daily series of many years is read within the window, with an exception in it"""
        begin = datetime(TODAY.year - 6, 3, 1, 4, 0)
        rule = {"pattern": {"type": "daily", "interval": 3}, "range": {"type": "noEnd", "startDate": str(begin.date())}}
        series = self.there.make(self.main_there, "Old", begin, 20, recurrence=rule)["id"]
        found = self.there.instances(series)
        self.there.patch(found[20]["id"], subject="Old, changed")
        self.there.remove(found[21]["id"])
        self.settle(self.main)
        holds(len(self.here.titled(self.main, "Old, changed")) == 1 and len(self.here.titled(self.main, "Old")) > 40)

    def token_dies_in_the_round(self):
        """A token that dies in the middle of a round, and a 429 without Retry-After, are survived"""
        self.there.control("expire")
        self.there.control("fault", method="GET", path="microsoft.graph.delta", status=410, code="SyncStateNotFound", skip=1)
        self.there.make(self.main_there, "After a dead token", clock(23, 13))
        eventually(lambda: self.same(self.main), 25, lambda: (time.sleep(0.3), self.here.sync(self.main)))
        self.there.control("fault", method="GET", path="delta", status=429, code="ApplicationThrottled")
        self.there.make(self.main_there, "After a bare 429", clock(23, 15))
        eventually(lambda: self.same(self.main), 90, lambda: (time.sleep(1), self.here.sync(self.main)))

    def channel_closed_and_opened(self):
        """A channel that is closed and opened again by hand pushes once more"""
        channels = lambda: [one["id"] for one in self.there.call("GET", "/control")["subscriptions"] if one["_calendar"] == self.side_there]
        self.here.call("DELETE", f"/api/v1/calendar/calendars/{self.side}/webhook")
        eventually(lambda: holds(not channels(), channels()))
        self.here.call("POST", f"/api/v1/calendar/calendars/{self.side}/webhook", {})
        eventually(lambda: holds(len(channels()) == 1, channels()))
        self.there.make(self.side_there, "Pushed once more", clock(24, 13))
        eventually(lambda: holds(len(self.here.titled(self.side, "Pushed once more")) == 1))

    def times_of_series_there(self):
        """A series whose times change there, and whose exceptions go with that, is the same here"""
        series = self.series_there(self.main_there, "Later", 4, 5, 8)
        self.there.patch(self.there.instances(series)[1]["id"], start=at(clock(12, 17)), end=at(clock(12, 18)))
        self.settle(self.main)
        self.there.patch(series, start=at(clock(4, 8, 30)), end=at(clock(4, 9, 15)))
        self.settle(self.main)
        holds(len(self.starts_here(self.main, "Later")) == 5 and instant(clock(11, 8, 30)) in self.starts_here(self.main, "Later"))

    def descriptions(self):
        """Descriptions reach the other side, with characters of HTML, and are not written again"""
        told = "Fish & chips <today>\n\n  * one\n  * two \u00e9\u00e8 \U0001f41f"
        self.here.make(self.main, "Described here", clock(16, 11), description=told)
        body = {"contentType": "html", "content": "<p>First &amp; last</p><p>Second<br>third</p>"}
        self.there.make(self.main_there, "Described there", clock(16, 12), body=body)
        self.settle(self.main)
        body = self.there.titled(self.main_there, "Described here")[0]["body"]["content"]
        holds("Fish &amp; chips &lt;today&gt;" in body, body)
        holds("First & last" in self.here.titled(self.main, "Described there")[0]["description"])
        since = time.time()
        one = self.here.titled(self.main, "Described here")[0]
        holds(one["description"].strip().replace("\r\n", "\n") == told, one["description"])
        for _ in range(3):
            self.here.sync(self.main)
        writes = [(one["method"], one["path"], one["body"]) for one in self.there.calls(since=since) if one["method"] != "GET"]
        holds(not writes, writes)

    def same_field_on_both_sides(self):
        """The same field changed on both sides: the provider's value wins, and the other one is kept here"""
        one = self.there.make(self.main_there, "Contested", clock(17, 11))
        self.settle(self.main)
        mine = self.here.titled(self.main, "Contested")[0]["id"]
        self.there.control("fault", method="GET", path="delta", status=503, times=1)
        self.there.patch(one["id"], subject="Contested there")
        self.here.change(mine, title="Contested here")
        self.settle(self.main)
        holds(len(self.here.titled(self.main, "Contested there")) == 1, self.here.call("GET", f"/api/v1/calendar/events/{mine}"))
        holds(self.here.titled(self.main, "Contested there")[0]["keptEdit"], self.here.titled(self.main, "Contested there"))

    def crossing(self):
        """An occurrence that is moved past its neighbour here is refused there, with a reason, and nothing else changes"""
        self.series_there(self.main_there, "Crossing", 3, 4, 7)
        target = f"/api/v1/calendar/events/{quoted(self.here.titled(self.main, 'Crossing')[1]['id'])}"
        put = lambda start: self.here.send("PUT", target + "?wait=25", {"startTime": start.isoformat(), "timezone": "Europe/Berlin"})[0]
        if put(clock(18, 7)) < 300:
            eventually(lambda: holds(self.here.call("GET", target)["syncStatus"] == "FAILED"), between=self.sync)
            reason = self.here.call("GET", target)["syncError"]
            holds("ccurrence" in reason, reason)
            put(clock(11, 7))
        self.settle(self.main)
        holds(len(self.starts_there(self.main_there, "Crossing")) == 4)

    def restored(self):
        """An event that is restored from Deleted Items there is here again; one that moves to a calendar that is not selected is gone"""
        one, series = self.there.make(self.main_there, "Restored", clock(18, 11)), self.series_there(self.main_there, "Restored series", 2, 4, 6)
        self.there.remove(one["id"])
        self.there.remove(series)
        self.settle(self.main)
        for ident in (one["id"], series):
            self.there.control("move", id=ident, calendar=self.main_there)
        self.settle(self.main)
        holds(len(self.here.titled(self.main, "Restored")) == 1 and len(self.here.titled(self.main, "Restored series")) == 4)
        for ident in (one["id"], series):
            self.there.control("move", id=ident, calendar=self.there.calendars["Birthdays"])
        self.settle(self.main)
        holds(not self.here.titled(self.main, "Restored") and not self.here.titled(self.main, "Restored series"))

    def out_of_the_window(self):
        """An event that is put off for years is not in this year any more, and comes back"""
        one = self.there.make(self.main_there, "Put off", clock(19, 11))
        self.settle(self.main)
        self.there.patch(one["id"], start=at(clock(1500, 11)), end=at(clock(1500, 12)))
        self.settle(self.main)
        holds(not self.here.titled(self.main, "Put off"))
        self.there.patch(one["id"], start=at(clock(20, 11)), end=at(clock(20, 12)))
        self.settle(self.main)
        holds(self.starts_here(self.main, "Put off") == [instant(clock(20, 11))])

    def expired(self):
        """After expired delta tokens, what was deleted there is gone here, and access tokens that end early are renewed"""
        one = self.there.make(self.main_there, "Goes unseen", clock(20, 14))
        self.settle(self.main)
        self.there.control("expire")
        self.there.control("revoke")
        self.there.remove(one["id"])
        self.there.make(self.main_there, "Comes unseen", clock(20, 15))
        self.settle(self.main)
        holds(not self.here.titled(self.main, "Goes unseen") and len(self.here.titled(self.main, "Comes unseen")) == 1)
        holds([one for one in self.there.calls() if one["status"] == 410] and [one for one in self.there.calls() if one["status"] == 401])

    def throttled_write(self):
        """A change here whose PATCH is answered by 429 with a date waits, and arrives once"""
        self.there.make(self.main_there, "Waits", clock(21, 14))
        self.settle()
        time.sleep(1.5)  # until the syncs that notifications have requested are over
        when = datetime.now(timezone.utc) + timedelta(seconds=4)
        until = when.strftime("%a, %d %b %Y %H:%M:%S GMT")
        self.there.control("fault", method="PATCH", path="/events/", status=429, code="ApplicationThrottled", retryAfter=until)
        since = time.time()
        self.here.change(self.here.titled(self.main, "Waits")[0]["id"], title="Waited")
        self.here.call("POST", f"/api/v1/calendar/calendars/{self.side}/sync", {})
        self.once_there("Waited")
        refused = [one["ended"] for one in self.there.calls("PATCH", "/events/", since) if one["status"] == 429]
        early = self.there.between(refused[0], when.timestamp() - 1)
        holds(len(refused) == 1 and not early, (refused, early))

    def at_rest(self):
        """Without changes, a sync is one call for each calendar, and writes nothing"""
        self.settle()
        eventually(lambda: holds(not self.there.calls(since=time.time() - 2), "calls go on"), 30, lambda: time.sleep(0.5))
        since = time.time()
        for place in (self.main, self.side):
            self.here.sync(place)
        calls = self.there.between(since, time.time())
        holds(len(calls) == 2 and all(method == "GET" and "delta" in path for method, path, _ in calls), calls)

    def gone_and_back(self):
        """An event that left a calendar there and came back is here, though its return is not reported"""
        one = self.there.make(self.main_there, "Goes and returns", clock(14, 13))
        self.settle(self.main)
        self.there.control("returns", lost=True)
        try:
            self.there.control("move", id=one["id"], calendar=self.side_there)
            self.there.control("move", id=one["id"], calendar=self.main_there)
            self.settle()
        finally:
            self.there.control("returns", lost=False)
        holds(len(self.here.titled(self.main, "Goes and returns")) == 1 and not self.here.titled(self.side, "Goes and returns"))

    def endless_round(self):
        """A round that repeats its last page ends, and its changes are here"""
        gone = self.there.make(self.side_there, "Goes in the loop", clock(15, 13))
        self.settle(self.side)
        begun = time.time()
        self.there.control("loop", calendar=self.side_there)
        self.there.make(self.side_there, "Comes in the loop", clock(15, 15))
        self.there.remove(gone["id"])
        self.settle(self.side)
        holds(time.time() - begun < 25, time.time() - begun)
        holds(2 <= len(self.there.calls("GET", "delta", begun)) < 40, len(self.there.calls("GET", "delta", begun)))
        self.there.control("calm")
        self.there.make(self.side_there, "After the loop", clock(15, 17))
        self.settle(self.side)


SCENARIOS = [
    Journey.mixed_first_sync, Journey.moved_there, Journey.moved_changed_here, Journey.moved_deleted_here,
    Journey.moved_between_calendars, Journey.deleted_there, Journey.deleted_here, Journey.deleted_on_both_sides, Journey.huge_event,
    Journey.pushed, Journey.one_503, Journey.lost_answer, Journey.series_made_here, Journey.throttled, Journey.new_pattern_there,
    Journey.all_day_exception, Journey.changed_on_both_sides, Journey.same_field_on_both_sides, Journey.zones_and_seasons,
    Journey.monthly_and_yearly, Journey.series_changed_here, Journey.rule_changed_twice, Journey.series_put_off_here,
    Journey.implied_weekday, Journey.times_of_series_there, Journey.old_series, Journey.edits_of_what_is_gone, Journey.oddities,
    Journey.token_dies_in_the_round, Journey.channel_closed_and_opened, Journey.descriptions, Journey.crossing, Journey.restored,
    Journey.out_of_the_window, Journey.expired, Journey.throttled_write, Journey.gone_and_back, Journey.at_rest, Journey.endless_round,
]


def start_fake():
    process = subprocess.Popen([sys.executable, str(HERE.parent / "graph.py")], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def start_backend(binary, graph):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    variables = {
        **os.environ, "MICROSOFT_CLIENT_ID": "foreign", "MICROSOFT_CLIENT_SECRET": "secret", "MICROSOFT_ENDPOINT": graph,
        "MICROSOFT_REDIRECT_URI": base + "/api/v1/calendar/oauth/microsoft/callback",
    }
    process = subprocess.Popen([str(binary), "--memory", "--no-rate-limits", "--port", str(port)], stdout=subprocess.DEVNULL, env=variables)

    def up():
        holds(process.poll() is None, "the backend has exited")
        try:
            holds(Server(base).send("GET", "/api/v1/health/ready")[0] == 200)
        except OSError as error:
            raise AssertionError(error) from None
    eventually(up, 60)
    return process, base


def main():
    binary = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[3] / "target/debug/calweave"
    words = [word for word in os.environ.get("SCENARIOS", "").split(",") if word]
    processes, passed, failed = [], 0, 0
    try:
        process, graph = start_fake()
        processes.append(process)
        process, base = start_backend(binary.resolve(), graph)
        processes.append(process)
        there = There(graph)
        journey = Journey(there, Here(base))
        for scenario in SCENARIOS:
            if words and scenario is not SCENARIOS[0] and not any(word in scenario.__name__ for word in words):
                continue
            begun = time.time()
            try:
                scenario(journey)
                passed += 1
                print(f"ok      {scenario.__doc__} ({time.time() - begun:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAILED  {scenario.__doc__}: {error}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
                if journey.main is None:
                    break
            there.control("calm")
        unknown = there.call("GET", "/control")["unknown"]
        if unknown:
            print(f"calls that the fake does not know: {sorted(set(unknown))}")
        print(f"{passed} passed, {failed} failed")
    finally:
        # The backend first: it finishes what is in progress.
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
