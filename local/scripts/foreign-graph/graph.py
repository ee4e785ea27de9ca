"""A second fake of Microsoft Graph's calendar API and of the Microsoft identity platform, in plain Python.

It shares no code and no author's assumptions with the sandbox in `local/sandboxes`: it is written from public sources only.
One mailbox, kept in memory; loopback only. Usage: graph.py [--port N] [--client ID:SECRET]; prints its base URL.

What it does, the public source, and how sure that is. "docs" is the repository microsoftgraph/microsoft-graph-docs, "sdk"
microsoftgraph/msgraph-sdk-dotnet; sure = documented or reported with a transcript, likely = one report, guess = no source.

identity platform
  sure    code + PKCE, client secret, rotating refresh tokens whose predecessors stay valid, RS256 id_token with tid, oid, ver 2.0
          and the tenant's own issuer; the issuer of `common` is a template; offline_access is not echoed (OIDC; Learn)
reading events
  sure    times in UTC or in the zone of `Prefer: outlook.timezone`; seven fraction digits; bodies are HTML unless
          `outlook.body-content-type="text"` (docs event-get); lists have ten items a page
  sure    an all-day event is midnight to midnight in whatever zone is asked for (docs#1802, #16798)
  sure    `originalStart`, `occurrenceId`, `uid`, `cancelledOccurrences` come only when selected; `exceptionOccurrences` only
          when expanded, with the nested $select, else the outer one (docs event-get, #5524, #4353, #9887, #7947)
  sure    `occurrenceId` is `OID.{master}.{date}`; an occurrence keeps its id when it becomes an exception (docs#2804)
  sure    `originalStart` of an all-day occurrence is midnight of the series' zone, in UTC (docs#2804, #7163)
  sure    a pattern is returned with all its fields, the unused ones as 0, "first", "0001-01-01" (docs#6578, closeio/sync-engine)
  likely  each occurrence has an iCalUId of its own, and shares `uid`
delta of a calendarView
  sure    $top, $filter, $orderby, $expand, $search are refused (ErrorInvalidUrlQuery); $select is, too (the page says so; clients
          that send it exist)
  sure    a series comes as its master, with the first occurrence's times, then its occurrences as stubs (id, type, seriesMasterId,
          start, end) and its exceptions (docs#7632, docs-contrib#34); it is not split over pages, so that pages are longer than
          asked (docs PR#4501, docs#7352, sdk#3070)
  sure    after the removal of one occurrence: the master and what is left, no @removed (docs PR#4501, Stack Overflow 55641502)
  likely  after a new pattern: new ids for occurrences, no @removed for the old ones (AvengeMedia/dankcalendar#95)
  sure    a deleted event is {"id", "@removed"}; so is a changed one outside of the window (docs#18241)
  guess   a deleted series is only its master's @removed
  sure    empty pages with a nextLink (msgraph-sdk-java#493); on demand, the last page for ever under new tokens (sdk#3070, #3082)
  likely  an event that left a calendar and came back between two rounds is reported as removed and not again, with immutable
          ids (docs#21752, seen with mail); on demand
writing
  sure    moving an occurrence to or past its neighbour's day: 400 ErrorOccurrenceCrossingBoundary (docs event-update)
  sure    with immutable ids a deleted event is still read by its id; deleting it again is 403 ErrorCannotDeleteObject (sdk#3047)
  guess   a read by id ignores the calendar in the path, as the id is the mailbox's
  likely  a transactionId that was used: 400 ErrorDuplicateTransactionId with `@event.existingEventId` (public clients match this
          status; others expect 409; others the first answer again). All three on demand
  likely  a new pattern or new times of a series discard its exceptions (Outlook warns of it)
  guess   the master's etag changes with its exceptions; a stale If-Match is 412 ErrorIrresolvableConflict
subscriptions
  sure    validation by an unescaped token in plain text; one renewal by PATCH; `clientState`; at most 10,080 minutes, at least 45
  sure    `me/events` tells of the default calendar only; `me/calendars/{id}/events` works (docs#6595, #21978)
  sure    a creation is told as created and as updated (docs#7598), one occurrence's removal as its master's update (docs#5951), a
          move as deleted and created (docs-contrib#6026)
  likely  a second one like it is 409 (the page says so; Learn Q&A 5768670 saw 201)
throttling
  sure    429 and 503 with Retry-After, on demand
  likely  more than four calls at once of one mailbox: 429 MailboxConcurrency

POST /control changes the other side and sets faults; GET /control tells what was called (`Fake.control`).
"""

import argparse
import base64
import calendar as months
import collections
import hashlib
import html
import http.server
import itertools
import json
import queue
import random
import re
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

WINDOWS_ZONES = {
    "W. Europe Standard Time": "Europe/Berlin", "Central Europe Standard Time": "Europe/Budapest", "Romance Standard Time": "Europe/Paris",
    "GMT Standard Time": "Europe/London", "Eastern Standard Time": "America/New_York", "Pacific Standard Time": "America/Los_Angeles",
    "Central Standard Time": "America/Chicago", "Tokyo Standard Time": "Asia/Tokyo", "India Standard Time": "Asia/Kolkata",
    "UTC": "UTC", "tzone://Microsoft/Utc": "UTC",
}
TENANT, USER = "72f988bf-0000-4000-8000-2d7cd011db47", "8e1f0c52-0000-4000-8000-6a1e5b7c9d01"
EMAIL, NAME, MAILBOX_ZONE = "adele@fabrikam.test", "Adele Vance", "W. Europe Standard Time"
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
NEVER = "0001-01-01T00:00:00Z"
READ_ONLY = {
    "id", "changeKey", "iCalUId", "uid", "createdDateTime", "lastModifiedDateTime", "bodyPreview", "type", "seriesMasterId", "webLink",
    "occurrenceId", "originalStart", "originalStartTimeZone", "originalEndTimeZone", "organizer", "isOrganizer", "responseStatus",
    "hasAttachments", "isCancelled", "isDraft", "onlineMeeting", "onlineMeetingUrl",
}
NO_PLACE = {"displayName": "", "locationType": "default", "uniqueIdType": "unknown", "address": {}, "coordinates": {}}
DEFAULTS = {
    "subject": "", "body": {"contentType": "html", "content": ""}, "location": NO_PLACE, "locations": [], "categories": [],
    "importance": "normal", "sensitivity": "normal", "showAs": "busy", "isAllDay": False, "isReminderOn": True,
    "reminderMinutesBeforeStart": 15, "attendees": [], "responseRequested": True, "allowNewTimeProposals": True, "hideAttendees": False,
    "isOnlineMeeting": False, "onlineMeetingProvider": "unknown", "singleValueExtendedProperties": [],
}
ONLY_SELECTED = {"originalStart", "occurrenceId", "uid", "cancelledOccurrences"}
DELTA = {"delta", "delta()", "microsoft.graph.delta", "microsoft.graph.delta()"}


class Refused(Exception):
    """An error response."""

    def __init__(self, status, code, message="", **more):
        super().__init__(code)
        self.status, self.headers = status, more.pop("headers", {})
        self.body = {"error": {"code": code, "message": message or code, "innerError": {"date": stamp(), "request-id": str(uuid.uuid4())}, **more}}


def stamp(moment=None):
    return (moment or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def zone(name):
    try:
        return ZoneInfo(WINDOWS_ZONES.get(name, name or "UTC"))
    except Exception:
        raise Refused(400, "TimeZoneNotSupportedException", f"A valid TimeZone value must be specified: '{name}'") from None


def utc(local, name):
    """The instant of a wall-clock time in a zone."""
    return local.replace(tzinfo=zone(name)).astimezone(timezone.utc)


def parse_time(text):
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.strip().replace(" ", "+")))


def parse_instant(text):
    moment = parse_time(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)


def parse_zoned(value):
    """A `dateTimeTimeZone` as wall-clock time and zone."""
    if not isinstance(value, dict) or "dateTime" not in value:
        raise Refused(400, "RequestBodyRead", "A dateTimeTimeZone is expected.")
    name = value.get("timeZone") or "UTC"
    moment = parse_time(value["dateTime"])
    if moment.tzinfo:
        moment = moment.astimezone(zone(name)).replace(tzinfo=None)
    zone(name)
    return moment, name


def opaque(*parts):
    """An id of the form that Exchange gives, always the same for the same parts."""
    digest = hashlib.sha512("|".join(map(str, parts)).encode()).digest()
    return base64.urlsafe_b64encode(digest + digest[:24]).decode().rstrip("=")[:115] + "="


class Pattern:
    """A recurrence: the days on which its series takes place."""

    def __init__(self, recurrence, start, name):
        pattern, span = recurrence.get("pattern") or {}, recurrence.get("range") or {}
        self.type, self.interval = pattern.get("type"), pattern.get("interval") or 1
        needs = {"daily": [], "weekly": ["daysOfWeek"], "absoluteMonthly": ["dayOfMonth"], "absoluteYearly": ["dayOfMonth", "month"],
                 "relativeMonthly": ["daysOfWeek"], "relativeYearly": ["daysOfWeek", "month"]}
        if self.type not in needs or any(not pattern.get(field) for field in needs[self.type]):
            raise Refused(400, "ErrorPropertyValidationFailure", f"The recurrence pattern is invalid: {pattern}")
        self.days, self.day = [one.lower() for one in pattern.get("daysOfWeek", [])], pattern.get("dayOfMonth") or 0
        self.month, self.index = pattern.get("month") or 0, pattern.get("index") or "first"
        self.first = pattern.get("firstDayOfWeek") or "sunday"
        self.ends, self.count = span.get("type"), span.get("numberOfOccurrences") or 0
        self.start, self.zone = date.fromisoformat(span["startDate"]), span.get("recurrenceTimeZone") or name
        self.last = date.fromisoformat(span["endDate"]) if self.ends == "endDate" else date.max
        if self.ends not in {"endDate", "noEnd", "numbered"} or (self.ends == "numbered" and self.count < 1):
            raise Refused(400, "ErrorPropertyValidationFailure", f"The recurrence range is invalid: {span}")
        if self.start != start.date():
            raise Refused(400, "ErrorPropertyValidationFailure", "The range's startDate is not the date of the event's start.")

    def matches(self, day):
        gap = (day.year - self.start.year) * 12 + day.month - self.start.month
        if self.type == "daily":
            return (day - self.start).days % self.interval == 0
        if self.type == "weekly":
            begin = lambda one: one - timedelta((one.weekday() - DAYS.index(self.first)) % 7)
            return DAYS[day.weekday()] in self.days and (begin(day) - begin(self.start)).days // 7 % self.interval == 0
        if self.type.endswith("Yearly") and day.month != self.month:
            return False
        if (gap // 12 if self.type.endswith("Yearly") else gap) % self.interval:
            return False
        length = months.monthrange(day.year, day.month)[1]
        if self.type.startswith("absolute"):
            return day.day == min(self.day, length)
        nth = ["first", "second", "third", "fourth"]
        placed = day.day > length - 7 if self.index == "last" else (day.day - 1) // 7 == nth.index(self.index)
        return DAYS[day.weekday()] in self.days and placed

    def dates(self, until):
        """The days of the rule up to a day, cancelled ones included."""
        found, day = 0, self.start
        while day <= min(until, self.last) and not (self.ends == "numbered" and found >= self.count):
            if self.matches(day):
                found += 1
                yield day
            day += timedelta(1)

    def shown(self, name=None):
        pattern = {"type": self.type, "interval": self.interval, "month": self.month, "dayOfMonth": self.day,
                   "firstDayOfWeek": self.first, "index": self.index}
        if self.days:
            pattern["daysOfWeek"] = self.days
        span = {"type": self.ends, "startDate": str(self.start), "endDate": str(self.last) if self.ends == "endDate" else "0001-01-01",
                "recurrenceTimeZone": self.zone if name is None else name, "numberOfOccurrences": self.count}
        return {"pattern": pattern, "range": span}


class Item:
    """An event as the mailbox stores it: a single event, or a series with its exceptions."""

    def __init__(self, place):
        self.key, self.created = secrets.token_hex(8), stamp()
        self.place = place  # the id of its calendar, None in Deleted Items
        self.moves = 0
        self.fields, self.pattern, self.transaction = dict(DEFAULTS), None, None
        self.start = self.end = None  # wall-clock times in self.zone
        self.zone, self.made_in = "UTC", ("UTC", "UTC")
        self.changed = {}  # original date -> {"fields", "start", "end"}
        self.cancelled = set()
        self.returned, self.odd = False, {}  # has moved about; values that replace its own
        self.touch()

    def touch(self):
        self.modified, self.version = stamp(), base64.b64encode(secrets.token_bytes(21)).decode()

    def id(self, immutable, day=None):
        """Immutable ids survive moves, others do not."""
        return opaque("event", self.key, "" if immutable else self.moves, day or "")

    def fill(self, body):
        """Takes over what a request sets."""
        fields, self.fields = self.fields, merge(self.fields, body)
        try:
            self.fill_times(body)
        except Exception:
            self.fields = fields
            raise

    def fill_times(self, body):
        start, end, name = self.start, self.end, self.zone
        if "start" in body:
            start, name = parse_zoned(body["start"])
            end = start + (self.end - self.start) if self.end and not body.get("end") else end
        if body.get("end"):
            end, ends_in = parse_zoned(body["end"])
            end = utc(end, ends_in).astimezone(zone(name)).replace(tzinfo=None)
        else:
            ends_in = name
        if start is None or end is None or end < start:
            raise Refused(400, "ErrorPropertyValidationFailure", "The event's start must not be after its end.")
        if self.fields["isAllDay"] and (start.time() != datetime.min.time() or end.time() != datetime.min.time() or start == end):
            raise Refused(400, "ErrorPropertyValidationFailure", "An all-day event starts and ends at midnight.")
        pattern = self.pattern
        if "recurrence" in body:
            pattern = Pattern(body["recurrence"], start, name) if body["recurrence"] else None
        elif pattern and (start, end, name) != (self.start, self.end, self.zone):
            shown = pattern.shown()
            shown["range"] |= {"startDate": str(start.date()), "recurrenceTimeZone": name}
            pattern = Pattern(shown, start, name)
        if self.pattern and (not pattern or pattern.shown() != self.pattern.shown() or (start, end) != (self.start, self.end)):
            self.changed, self.cancelled = {}, set()
        if pattern and pattern.zone != name:
            start, end = (utc(one, name).astimezone(zone(pattern.zone)).replace(tzinfo=None) for one in (start, end))
        if self.start is None or "start" in body:
            self.made_in = (name, ends_in)
        self.start, self.end, self.zone, self.pattern = start, end, pattern.zone if pattern else name, pattern

    def times(self, day=None):
        """Start and end as wall-clock times; of an occurrence, where it was moved to."""
        if day is None:
            return self.start, self.end
        other = self.changed.get(day, {})
        start = datetime.combine(day, self.start.time())
        return other.get("start") or start, other.get("end") or start + (self.end - self.start)

    def overlaps(self, low, high, day=None):
        start, end = (utc(one, self.zone) for one in self.times(day))
        return start < high and (end > low or start == end >= low)

    def occurrences(self, low, high):
        until = (high + timedelta(400)).date() if self.changed else (high + timedelta(2)).date()
        return [day for day in self.pattern.dates(until) if day not in self.cancelled and self.overlaps(low, high, day)]

    def change(self, day, body):
        """Makes an occurrence an exception."""
        if body.get("recurrence"):
            raise Refused(400, "ErrorPropertyValidationFailure", "An occurrence has no recurrence.")
        other = dict(self.changed.get(day, {"fields": {}, "start": None, "end": None}))
        start, end = self.times(day)
        if "start" in body:
            moved, name = parse_zoned(body["start"])
            moved = utc(moved, name).astimezone(zone(self.zone)).replace(tzinfo=None)
            start, end = moved, moved + (end - start)
        if "end" in body:
            moved, name = parse_zoned(body["end"])
            end = utc(moved, name).astimezone(zone(self.zone)).replace(tzinfo=None)
        if end < start:
            raise Refused(400, "ErrorPropertyValidationFailure", "The event's start must not be after its end.")
        days = [one for one in self.pattern.dates(day + timedelta(800)) if one not in self.cancelled]
        at = days.index(day)
        before, after = days[at - 1] if at else None, days[at + 1] if at + 1 < len(days) else None
        crosses = (before and start.date() <= self.times(before)[0].date()) or (after and start.date() >= self.times(after)[0].date())
        if crosses and start != self.times(day)[0]:
            raise Refused(400, "ErrorOccurrenceCrossingBoundary", "Modified occurrence is crossing or overlapping adjacent occurrence.")
        base = {**self.fields, **other["fields"]}
        told = merge(base, body)
        other["fields"] = {**other["fields"], **{name: value for name, value in told.items() if value != base.get(name)}}
        other["start"], other["end"] = start, end
        self.changed[day] = other

    def shown(self, view, day=None):
        """All properties of the event, or of one occurrence."""
        fields = {**self.fields, **(self.changed.get(day, {}).get("fields", {}))}
        extended = fields.pop("singleValueExtendedProperties")
        kind = "singleInstance" if not self.pattern else "seriesMaster" if day is None else "exception" if day in self.changed else "occurrence"
        stem = "040000008200E00074C5B7101A82E008"
        tail = hashlib.md5(self.key.encode()).hexdigest().upper() * 2
        part = "00000000" if day is None else f"{day.year:04X}{day.month:02X}{day.day:02X}"
        text = re.sub(r"\s+", " ", plain(fields["body"])).strip()
        value = {
            "@odata.etag": f'W/"{self.version}"', "id": self.id(view.immutable, day), "createdDateTime": self.created,
            "lastModifiedDateTime": self.modified, "changeKey": self.version, "transactionId": self.transaction,
            "originalStartTimeZone": self.made_in[0], "originalEndTimeZone": self.made_in[1], "iCalUId": stem + part + tail,
            "uid": stem + "00000000" + tail, "hasAttachments": False, **fields, "bodyPreview": text[:255], "isCancelled": False,
            "isOrganizer": True, "seriesMasterId": self.id(view.immutable) if day else None, "type": kind, "isDraft": False,
            "webLink": "https://outlook.office365.com/owa/?itemid=" + self.id(False, day), "onlineMeetingUrl": None, "onlineMeeting": None,
            "recurrence": self.pattern.shown(self.odd.get("recurrenceTimeZone")) if self.pattern and day is None else None,
            "responseStatus": {"response": "organizer", "time": NEVER}, "body": view.body(fields["body"]),
            "organizer": {"emailAddress": {"name": NAME, "address": EMAIL}}, "singleValueExtendedProperties": extended,
        }
        value["start"], value["end"] = (view.time(one, self.zone, fields["isAllDay"]) for one in self.times(day))
        value["originalStart"] = utc(datetime.combine(day, self.start.time()), self.zone).strftime("%Y-%m-%dT%H:%M:%SZ") if day else None
        oid = lambda one: f"OID.{self.id(view.immutable)}.{one}"
        value["occurrenceId"] = oid(day) if day else None
        if kind == "seriesMaster":
            value["cancelledOccurrences"] = [oid(one) for one in sorted(self.cancelled)]
        return value | {name: one for name, one in self.odd.items() if name in value}

    def stub(self, view, day):
        value = self.shown(view, day)
        names = ("@odata.etag", "seriesMasterId", "type", "id", "start", "end")
        return {"@odata.type": "#microsoft.graph.event", **{name: value[name] for name in names}}


def merge(fields, body):
    """The properties of an event after a request has changed some."""
    fields = dict(fields)
    for name, value in body.items():
        if name in READ_ONLY or name in {"start", "end", "recurrence", "transactionId"} or name.startswith("@"):
            continue
        if name not in DEFAULTS:
            raise Refused(400, "RequestBodyRead", f"The property '{name}' does not exist on type 'microsoft.graph.event'.")
        value = DEFAULTS[name] if value is None else value
        if name == "location":
            given = value.get("displayName") or ""
            value = {**value, "displayName": given, "locationType": "default", "uniqueId": given, "uniqueIdType": "private"} if given else NO_PLACE
            fields["locations"] = [value] if given else []
        if name == "locations":
            fields["location"] = value[0] if value else NO_PLACE
        if name == "attendees":
            value = [{"type": "required", "status": {"response": "none", "time": NEVER}, **one} for one in value]
        if name == "body":
            value = {"contentType": (value.get("contentType") or "text").lower(), "content": value.get("content") or ""}
        if name == "singleValueExtendedProperties":
            ids = {one["id"] for one in value}
            value = [one for one in fields[name] if one["id"] not in ids] + value
        fields[name] = value
    return fields


def plain(body):
    if body["contentType"] == "text":
        return body["content"]
    text = re.sub(r"(?is)<(head|style|script).*?</\1>", "", body["content"])
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"(?i)<(br|/p|/div)[^>]*>", "\n", text))).strip()


class View:
    """How a request wants events: by its Prefer headers."""

    def __init__(self, prefers):
        text = ", ".join(prefers)
        find = lambda name: (match := re.search(name + r'\s*=\s*"?([^",]+)"?', text, re.I)) and match[1].strip()
        self.immutable = (find("IdType") or "").lower() == "immutableid"
        self.zone = find(r"outlook\.timezone") or "UTC"
        self.text = (find(r"outlook\.body-content-type") or "html").lower() == "text"
        self.page = int(find(r"odata\.maxpagesize") or 0)
        zone(self.zone)

    def time(self, local, name, all_day):
        shown = local if all_day else utc(local, name).astimezone(zone(self.zone))
        return {"dateTime": shown.strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": self.zone}

    def body(self, body):
        if not body["content"]:
            return {"contentType": "text" if self.text else "html", "content": ""}
        if self.text:
            return {"contentType": "text", "content": plain(body).replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n"}
        if body["contentType"] == "html":
            return body
        text = html.escape(body["content"], quote=False).replace("\r\n", "\n").replace("\n", "<br>\r\n")
        head = '<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\r\n</head>\r\n<body>\r\n'
        return {"contentType": "html", "content": f"{head}{text}\r\n</body>\r\n</html>\r\n"}


def outside(text, separator):
    """Splits at a separator that is not within parentheses or quotes."""
    parts, depth, quoted, part = [], 0, False, ""
    while text:
        quoted ^= text[0] == "'"
        depth += 0 if quoted else (text[0] == "(") - (text[0] == ")")
        if depth == 0 and not quoted and text.startswith(separator):
            parts, part, text = [*parts, part], "", text[len(separator):]
            continue
        part, text = part + text[0], text[1:]
    return [one.strip() for one in [*parts, part] if one.strip()]


def options_of(query):
    """The OData options of a query, or of a parenthesis behind a property in $expand."""
    select = [one.strip() for one in query.get("$select", "").split(",") if one.strip()]
    expand = {}
    for one in outside(query.get("$expand", ""), ","):
        name, _, inner = one.partition("(")
        expand[name] = options_of(dict(pair.split("=", 1) for pair in outside(inner.rstrip(")") if inner else "", ";")))
    return {"select": select, "expand": expand, "filter": query.get("$filter", "")}


def project(item, view, options, day=None):
    """An event with the properties that were asked for."""
    full = item.shown(view, day)
    extended = full.pop("singleValueExtendedProperties")
    wanted = options["select"]
    keep = lambda name: name.startswith("@") or name == "id" or (name in wanted if wanted else name not in ONLY_SELECTED)
    value = {name: one for name, one in full.items() if keep(name)}
    if (nested := options["expand"].get("exceptionOccurrences")) is not None and full["type"] == "seriesMaster":
        inner = {**nested, "select": nested["select"] or wanted}
        value["exceptionOccurrences"] = [project(item, view, inner, one) for one in sorted(item.changed)]
        for one in value["exceptionOccurrences"] if inner["select"] else []:
            one.pop("@odata.etag", None)
    if (nested := options["expand"].get("singleValueExtendedProperties")) is not None:
        ids = re.findall(r"id eq '((?:[^']|'')*)'", nested["filter"])
        if kept := [one for one in extended if one["id"] in ids]:
            value["singleValueExtendedProperties"] = kept
    return value


def accepts(event, item, text):
    """Whether an event meets a $filter: comparisons that are joined by `and`."""
    for clause in outside(text, " and "):
        if match := re.fullmatch(r"singleValueExtendedProperties/[Aa]ny\(\s*(\w+)\s*:\s*\1/id eq '([^']*)' and \1/value eq '([^']*)'\s*\)", clause):
            if not any((one["id"], one["value"]) == (match[2], match[3]) for one in item.fields["singleValueExtendedProperties"]):
                return False
            continue
        match = re.fullmatch(r"([\w/]+) (eq|ne|gt|ge|lt|le) ('(?:[^']|'')*'|\S+)", clause)
        if not match:
            raise Refused(400, "ErrorInvalidUrlQueryFilter", f"The query filter clause is not supported: {clause}")
        value = event
        for step in match[1].split("/"):
            if step not in value:
                raise Refused(400, "ErrorInvalidProperty", f"The property '{step}' does not support filtering.")
            value = value[step]
        other = match[3].strip("'").replace("''", "'")
        if isinstance(value, bool):
            other = other == "true"
        elif "dateTime" in match[1] or match[1].endswith("DateTime"):
            value, other = parse_instant(value), parse_instant(other)
        order = (value > other) - (value < other) if type(value) is type(other) else 1
        if not {"eq": order == 0, "ne": order != 0, "gt": order > 0, "ge": order >= 0, "lt": order < 0, "le": order <= 0}[match[2]]:
            return False
    return True


class Signer:
    """An RSA key of this run, which signs id tokens."""

    def __init__(self):
        primes = [self.prime(), self.prime()]
        self.modulus, self.kid = primes[0] * primes[1], secrets.token_urlsafe(16)
        self.private = pow(65537, -1, (primes[0] - 1) * (primes[1] - 1))

    @staticmethod
    def prime():
        small = [n for n in range(3, 2000, 2) if all(n % m for m in range(3, int(n**0.5) + 1, 2))]
        while True:
            n = secrets.randbits(1024) | 3 << 1022 | 1
            if all(n % p for p in small) and n % 65537 != 1 and all(pow(random.randrange(2, n), n - 1, n) == 1 for _ in range(8)):
                return n

    @staticmethod
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def keys(self, base):
        number = lambda n: self.encode(n.to_bytes((n.bit_length() + 7) // 8, "big"))
        return {"keys": [{"kty": "RSA", "use": "sig", "kid": self.kid, "n": number(self.modulus), "e": number(65537),
                          "issuer": base + "/{tenantid}/v2.0"}]}

    def sign(self, claims):
        head = {"typ": "JWT", "alg": "RS256", "kid": self.kid}
        signed = ".".join(self.encode(json.dumps(part).encode()) for part in (head, claims))
        digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed.encode()).digest()
        padded = b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest
        return f"{signed}.{self.encode(pow(int.from_bytes(padded, 'big'), self.private, self.modulus).to_bytes(256, 'big'))}"


Call = collections.namedtuple("Call", "method path query headers body view")


class Fake:
    """The mailbox, its identity platform and what is to go wrong."""

    def __init__(self, client):
        self.client, self.base, self.signer = client, "", Signer()
        self.lock, self.flight = threading.RLock(), 0
        self.codes, self.access, self.refresh = {}, {}, {}
        self.calendars, self.items, self.sequence = {}, {}, itertools.count(1)
        self.now_at, self.touched = 0, collections.defaultdict(dict)  # calendar -> item key -> sequence of its last change
        self.rounds, self.tokens = {}, {}
        self.subscriptions, self.posts = {}, queue.Queue()
        self.calls, self.faults, self.told, self.unknown, self.most = [], [], [], [], 0
        self.loop, self.duplicates, self.lose_returns, self.busy_until = None, "400", False, 0.0
        for name in ("Calendar", "Side projects", "Birthdays"):
            self.add_calendar(name)
        self.default = next(iter(self.calendars))
        threading.Thread(target=self.deliver, daemon=True).start()

    def add_calendar(self, name):
        ident = opaque("calendar", name, secrets.token_hex(4))
        self.calendars[ident] = {
            "id": ident, "name": name, "color": "auto", "hexColor": "", "isDefaultCalendar": not self.calendars, "changeKey": "x",
            "canShare": True, "canViewPrivateItems": True, "canEdit": True, "isRemovable": bool(self.calendars), "isTallyingResponses": False,
            "allowedOnlineMeetingProviders": ["teamsForBusiness"], "defaultOnlineMeetingProvider": "teamsForBusiness",
            "owner": {"name": NAME, "address": EMAIL},
        }
        return ident

    # The identity platform.

    def authorize(self, query):
        needed = ("client_id", "redirect_uri", "response_type", "scope", "code_challenge")
        if any(not query.get(name) for name in needed) or query["client_id"] != self.client[0] or query["response_type"] != "code":
            return 400, {}, {"error": "invalid_request", "error_description": f"AADSTS900144: {query}"}
        code = "M.C5_" + secrets.token_urlsafe(40)
        self.codes[code] = dict(query)
        back = {"code": code, "state": query.get("state", ""), "session_state": str(uuid.uuid4())}
        joint = "&" if "?" in query["redirect_uri"] else "?"
        return 302, {"Location": query["redirect_uri"] + joint + urllib.parse.urlencode(back)}, None

    def token(self, form):
        def refused(error, code, status=400):
            told = {"error": error, "error_description": f"AADSTS{code}: refused", "error_codes": [code], "timestamp": stamp(),
                    "trace_id": str(uuid.uuid4()), "correlation_id": str(uuid.uuid4())}
            return status, {}, told
        if (form.get("client_id"), form.get("client_secret")) != self.client:
            return refused("invalid_client", 7000215, 401)
        if form.get("grant_type") == "authorization_code":
            asked = self.codes.pop(form.get("code"), None)
            if not asked or asked["redirect_uri"] != form.get("redirect_uri"):
                return refused("invalid_grant", 54005 if not asked else 50011)
            if Signer.encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()) != asked["code_challenge"]:
                return refused("invalid_grant", 501481)
            scope, nonce = asked["scope"], asked.get("nonce")
        elif form.get("grant_type") == "refresh_token":
            if form.get("refresh_token") not in self.refresh:
                return refused("invalid_grant", 70008)
            scope, nonce = self.refresh[form["refresh_token"]], None
        else:
            return refused("unsupported_grant_type", 70003)
        access, told = "EwB4" + secrets.token_urlsafe(60), [one for one in scope.split() if one != "offline_access"]
        self.access[access] = time.time() + 3600
        answer = {"token_type": "Bearer", "scope": " ".join(told), "expires_in": 3600, "ext_expires_in": 3600, "access_token": access}
        if "offline_access" in scope:
            answer["refresh_token"] = "M.C5_R" + secrets.token_urlsafe(60)
            self.refresh[answer["refresh_token"]] = scope
        if "openid" in scope:
            now = int(time.time())
            claims = {"ver": "2.0", "iss": f"{self.base}/{TENANT}/v2.0", "sub": opaque("sub")[:43], "aud": self.client[0],
                      "exp": now + 3600, "iat": now, "nbf": now, "name": NAME, "preferred_username": EMAIL, "email": EMAIL,
                      "oid": USER, "tid": TENANT}
            answer["id_token"] = self.signer.sign({**claims, "nonce": nonce} if nonce else claims)
        return 200, {"Cache-Control": "no-store"}, answer

    def discovery(self, tenant):
        place = f"{self.base}/{tenant}"
        named = "{tenantid}" if tenant in {"common", "organizations"} else TENANT
        return {"issuer": f"{self.base}/{named}/v2.0", "jwks_uri": f"{place}/discovery/v2.0/keys",
                "authorization_endpoint": f"{place}/oauth2/v2.0/authorize", "token_endpoint": f"{place}/oauth2/v2.0/token",
                "id_token_signing_alg_values_supported": ["RS256"], "response_types_supported": ["code"], "subject_types_supported": ["pairwise"]}

    # The mailbox.

    def find(self, ident):
        """An event or an occurrence by either of its ids."""
        for item in self.items.values():
            for immutable in (True, False):
                if item.id(immutable) == ident:
                    return item, None
                if item.pattern and item.place:
                    # An occurrence's id holds its date; here the dates of the rule are tried.
                    for day in item.pattern.dates(min(item.pattern.last, date.today() + timedelta(1500))):
                        if item.id(immutable, day) == ident:
                            if day in item.cancelled:
                                raise Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")
                            return item, day
        raise Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")

    def calendar(self, ident):
        if ident not in self.calendars:
            raise Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return ident

    def tell(self, item, place, *kinds):
        """Records a change in a calendar, and notifies its subscribers."""
        self.now_at = next(self.sequence)
        self.touched[place][item.key] = self.now_at
        for one in self.subscriptions.values():
            if one["_calendar"] != place or parse_instant(one["expirationDateTime"]) < datetime.now(timezone.utc):
                continue
            for kind in kinds:
                if kind in one["changeType"].split(","):
                    ident = item.id(one["_immutable"])
                    path = f"Users/{USER}/Events/{ident}"
                    data = {"@odata.type": "#Microsoft.Graph.Event", "@odata.id": path, "@odata.etag": f'W/"{item.version}"', "id": ident}
                    self.posts.put((one["notificationUrl"], {
                        "subscriptionId": one["id"], "subscriptionExpirationDateTime": one["expirationDateTime"], "changeType": kind,
                        "resource": path, "resourceData": data, "clientState": one["clientState"], "tenantId": TENANT,
                    }))

    def deliver(self):
        """Posts notifications, those of one moment together; tries again what is not accepted."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            url, first = self.posts.get()
            time.sleep(0.1)
            values, others = [first], []
            while not self.posts.empty():
                other, value = self.posts.get()
                (values if other == url else others).append(value if other == url else (other, value))
            for one in others:
                self.posts.put(one)
            for attempt in range(4):
                request = urllib.request.Request(url, json.dumps({"value": values}).encode(), {"Content-Type": "application/json"})
                try:
                    with opener.open(request, timeout=10) as answer:
                        status = answer.status
                except urllib.error.HTTPError as error:
                    status = error.code
                except OSError as error:
                    status = str(error)
                self.told.append({"url": url, "status": status, "value": values})
                if status in (200, 202, 204):
                    break
                time.sleep(1)

    def create(self, place, body, view):
        transaction = body.get("transactionId")
        known = next((one for one in self.items.values() if transaction and one.transaction == transaction), None)
        if known and self.duplicates == "same":
            return 201, {}, project(known, view, options_of({}))
        if known:
            raise Refused(int(self.duplicates), "ErrorDuplicateTransactionId", "Your request can't be completed. The TransactionId specified in the "
                          "request has already been used to create a different event.", **{"@event.existingEventId": known.id(view.immutable)})
        if not body.get("start") or not body.get("end"):
            raise Refused(400, "ErrorInvalidRequest", "Start and end are required.")
        item = Item(place)
        item.fill(body)
        item.transaction = transaction
        self.items[item.key] = item
        self.tell(item, place, "created", "updated")
        return 201, {"Location": f"{self.base}/v1.0/me/events/{item.id(view.immutable)}"}, project(item, view, options_of({}))

    def matches(self, call, item):
        given = call.headers.get("If-Match")
        if given and given != "*" and given != f'W/"{item.version}"':
            raise Refused(412, "ErrorIrresolvableConflict", "The send or update operation could not be performed because the change key passed in "
                          "the request does not match the current change key for the item.")

    def update(self, call, item, day):
        self.matches(call, item)
        item.fill(call.body) if day is None else item.change(day, call.body)
        item.touch()
        if item.place:
            self.tell(item, item.place, "updated")
        return 200, {}, project(item, call.view, options_of({}), day)

    def delete(self, call, item, day):
        if item.place is None:
            raise Refused(403, "ErrorCannotDeleteObject", "Object cannot be deleted.")
        self.matches(call, item)
        place = item.place
        if day is None:
            item.place, item.moves = None, item.moves + 1
            self.tell(item, place, "deleted")
        else:
            item.cancelled.add(day)
            item.changed.pop(day, None)
            item.touch()
            self.tell(item, place, "updated")
        return 204, {}, None

    def move(self, item, place):
        """Outlook's own move between calendars; Graph v1.0 has none."""
        old, item.place, item.moves = item.place, place, item.moves + 1
        item.touch()
        if old:
            self.tell(item, old, "deleted")
        self.tell(item, place, "created", "updated")

    def window(self, query):
        names = {name.lower(): value for name, value in query.items()}
        if not names.get("startdatetime") or not names.get("enddatetime"):
            raise Refused(400, "ErrorInvalidParameter", "This request requires a time window: StartDateTime and EndDateTime.")
        return parse_instant(names["startdatetime"]), parse_instant(names["enddatetime"])

    def listed(self, call, pairs):
        """One page of a list."""
        options = options_of(call.query)
        shown = [(item, day) for item, day in pairs if not options["filter"] or accepts(item.shown(call.view, day), item, options["filter"])]
        size, skip = int(call.query.get("$top", 0)) or call.view.page or 10, int(call.query.get("$skip", 0))
        value = [project(item, call.view, options, day) for item, day in shown[skip:skip + size]]
        answer = {"@odata.context": f"{self.base}/v1.0/$metadata#events", "value": value}
        if len(shown) > skip + size:
            answer["@odata.nextLink"] = f"{self.base}{call.path}?" + urllib.parse.urlencode({**call.query, "$skip": skip + size})
        return 200, {}, answer

    def view_of(self, place, low, high):
        singles = [(one, None) for one in self.items.values() if one.place == place and not one.pattern and one.overlaps(low, high)]
        series = [(one, day) for one in self.items.values() if one.place == place and one.pattern for day in one.occurrences(low, high)]
        return singles + [pair for pair in series if pair[1] in pair[0].changed] + [pair for pair in series if pair[1] not in pair[0].changed]

    def delta(self, call, place):
        if skip := call.query.get("$skiptoken"):
            if skip not in self.rounds:
                raise Refused(410, "SyncStateNotFound", "The sync state generation is not found.")
            place, low, high, keys, at, upto, first = self.rounds[skip]
        else:
            refused = [name for name in ("$select", "$filter", "$orderby", "$expand", "$search", "$top") if name in call.query]
            if refused:
                raise Refused(400, "ErrorInvalidUrlQuery", f"Not supported with change tracking over the 'CalendarView' resource: {refused}")
            since, at, first = 0, 0, True
            if token := call.query.get("$deltatoken"):
                if token not in self.tokens:
                    raise Refused(410, "SyncStateNotFound", "The sync state generation is not found.")
                (place, low, high, since), first = self.tokens[token], False
            else:
                low, high = self.window(call.query)
            upto = self.now_at
            if first:
                keys = [one.key for one in self.items.values() if one.place == place]
            else:
                keys = sorted((key for key, when in self.touched[place].items() if when > since), key=self.touched[place].get)
        size, value, start = call.view.page or 10, [], at
        while at < len(keys) and len(value) < size:
            value += self.group(self.items[keys[at]], place, low, high, call.view, first, skip)
            at += 1
        looped = self.loop and self.loop["calendar"] == place and at >= len(keys) and value and self.loop["times"]
        if looped:
            self.loop["times"] -= 1
            at = start
        answer = {"@odata.context": f"{self.base}/v1.0/$metadata#Collection(event)", "value": value}
        link = f"{self.base}/v1.0/me/calendars/{urllib.parse.quote(place)}/calendarView/microsoft.graph.delta?"
        token = secrets.token_urlsafe(90)
        if looped or at < len(keys) or (first and value):
            self.rounds[token] = (place, low, high, keys, at, upto, first)
            answer["@odata.nextLink"] = link + "$skiptoken=" + token
        else:
            self.tokens[token] = (place, low, high, upto)
            answer["@odata.deltaLink"] = link + "$deltatoken=" + token
        return 200, {}, answer

    def group(self, item, place, low, high, view, first, skip):
        """What a round of changes says of one item: the item, or a series with its occurrences, or that it is gone."""
        empty = options_of({})
        kept = {"@odata.type": "#microsoft.graph.event"}
        lost = self.lose_returns and not first and view.immutable and item.returned
        if item.place == place and not lost:
            if not item.pattern and item.overlaps(low, high):
                return [kept | project(item, view, empty)]
            if item.pattern and (days := item.occurrences(low, high)):
                told = [kept | project(item, view, empty, day) if day in item.changed else item.stub(view, day) for day in days]
                return [kept | project(item, view, empty), *told]
        return [] if first else [kept | {"id": item.id(view.immutable), "@removed": {"reason": "deleted"}}]

    # Subscriptions.

    def subscribe(self, call):
        body = call.body
        match = re.fullmatch(r"/?(?:me|users/[^/]+)/(?:calendars/([^/]+)/|calendar/)?events", urllib.parse.unquote(body.get("resource", "")), re.I)
        if not match or (match[1] and match[1] not in self.calendars):
            raise Refused(400, "ExtensionError", "Operation: Create; Exception: [The value of parameter 'Resource' is invalid.]")
        kinds = (body.get("changeType") or "").split(",")
        if not set(kinds) <= {"created", "updated", "deleted"} or not body.get("notificationUrl") or len(body.get("clientState") or "") > 128:
            raise Refused(400, "InvalidRequest", "The subscription is invalid.")
        expires = self.expiry(body)
        wanted = (match[1] or self.default, body["changeType"], body["notificationUrl"])
        like = lambda one: (one["_calendar"], one["changeType"], one["notificationUrl"]) == wanted
        with self.lock:
            if any(like(one) and parse_instant(one["expirationDateTime"]) > datetime.now(timezone.utc) for one in self.subscriptions.values()):
                raise Refused(409, "InvalidRequest", "A subscription with the same properties already exists.")
        for url in filter(None, (body["notificationUrl"], body.get("lifecycleNotificationUrl"))):
            self.validate(url)
        one = {"id": str(uuid.uuid4()), "resource": body["resource"], "applicationId": self.client[0], "changeType": body["changeType"],
               "clientState": body.get("clientState"), "notificationUrl": body["notificationUrl"],
               "lifecycleNotificationUrl": body.get("lifecycleNotificationUrl"),
               "expirationDateTime": expires, "creatorId": USER, "_calendar": match[1] or self.default, "_immutable": call.view.immutable}
        with self.lock:
            self.subscriptions[one["id"]] = one
        return 201, {}, self.subscription(one)

    @staticmethod
    def subscription(one):
        return {name: value for name, value in one.items() if not name.startswith("_")} | {"clientState": None}

    @staticmethod
    def expiry(body):
        now, asked = datetime.now(timezone.utc), parse_instant(body.get("expirationDateTime") or "0001-01-01T00:00:00Z")
        if asked <= now or asked > now + timedelta(minutes=10_080):
            raise Refused(400, "InvalidRequest", "Subscription expiration can only be 10080 minutes in the future.")
        return stamp(max(asked, now + timedelta(minutes=45)))

    @staticmethod
    def validate(url):
        token = f"Validation: Testing client application reachability for subscription Request-Id: {uuid.uuid4()} + 100% <ok>"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        target = url + ("&" if "?" in url else "?") + urllib.parse.urlencode({"validationToken": token})
        request = urllib.request.Request(target, b"", {"Content-Type": "text/plain; charset=utf-8"})
        try:
            with opener.open(request, timeout=10) as answer:
                good = answer.status == 200 and answer.headers.get_content_type() == "text/plain" and answer.read().decode() == token
        except OSError:
            good = False
        if not good:
            raise Refused(400, "ValidationError", f"Subscription validation request failed. Must respond with 200 OK to this request: {url}")

    # Requests.

    def graph(self, call):
        if call.path.rstrip("/") == "/v1.0/subscriptions" and call.method == "POST":
            return self.subscribe(call)
        with self.lock:
            return self.route(call)

    def route(self, call):
        steps = [urllib.parse.unquote(one) for one in call.path.split("/")[2:] if one]
        if steps[:1] == ["users"] and len(steps) > 1:
            steps[:2] = ["me"]
        if steps[:2] == ["me", "calendar"]:
            steps[1:2] = ["calendars", self.default]
        if steps[:2] in (["me", "calendarView"], ["me", "calendarview"]) or (steps[:2] == ["me", "events"] and len(steps) == 2):
            steps[1:1] = ["calendars", self.default]
        if steps[:2] == ["me", "calendars"] and steps[3:4] == ["events"] and len(steps) > 4:
            self.calendar(steps[2])
            steps[1:3] = []
        match [call.method, *steps]:
            case ["GET", "me"]:
                return 200, {}, {"id": USER, "displayName": NAME, "givenName": "Adele", "surname": "Vance", "mail": EMAIL, "userPrincipalName": EMAIL}
            case ["GET", "me", "mailboxSettings"]:
                return 200, {}, {"timeZone": MAILBOX_ZONE, "language": {"locale": "en-US"}, "workingHours": {"timeZone": {"name": MAILBOX_ZONE}}}
            case ["GET", "me", "mailboxSettings", "timeZone"]:
                return 200, {}, {"value": MAILBOX_ZONE}
            case ["GET", "me", "calendars"]:
                every, skip = list(self.calendars.values()), int(call.query.get("$skip", 0))
                size = int(call.query.get("$top", 10))
                more = {"@odata.nextLink": f"{self.base}/v1.0/me/calendars?$top={size}&$skip={skip + size}"} if len(every) > skip + size else {}
                return 200, {}, {"value": every[skip:skip + size], **more}
            case ["GET", "me", "calendars", place]:
                return 200, {}, self.calendars[self.calendar(place)]
            case ["GET", "me", "calendars", place, "calendarView" | "calendarview"]:
                return self.listed(call, self.view_of(self.calendar(place), *self.window(call.query)))
            case ["GET", "me", "calendars", place, "calendarView" | "calendarview", name] if name in DELTA:
                return self.delta(call, self.calendar(place))
            case ["GET", "me", "calendars", place, "events"]:
                self.calendar(place)
                return self.listed(call, [(one, None) for one in self.items.values() if one.place == place])
            case ["POST", "me", "calendars", place, "events"]:
                return self.create(self.calendar(place), call.body, call.view)
            case ["GET", "me", "events", ident]:
                item, day = self.find(ident)
                return 200, {}, project(item, call.view, options_of(call.query), day)
            case ["PATCH", "me", "events", ident]:
                return self.update(call, *self.find(ident))
            case ["DELETE", "me", "events", ident]:
                return self.delete(call, *self.find(ident))
            case ["GET", "me", "events", ident, "instances"]:
                item, day = self.find(ident)
                if not item.pattern or day:
                    raise Refused(400, "ErrorInvalidRequest", "Only a series has instances.")
                return self.listed(call, [(item, one) for one in item.occurrences(*self.window(call.query))])
            case ["GET", "subscriptions"]:
                return 200, {}, {"value": [self.subscription(one) for one in self.subscriptions.values()]}
            case [method, "subscriptions", ident, *rest]:
                if ident not in self.subscriptions:
                    raise Refused(404, "ResourceNotFound", "The object was not found.")
                if method == "DELETE":
                    del self.subscriptions[ident]
                    return 204, {}, None
                if method == "PATCH":
                    self.subscriptions[ident]["expirationDateTime"] = self.expiry(call.body)
                if method in {"GET", "PATCH"} or rest == ["reauthorize"]:
                    return 200, {}, self.subscription(self.subscriptions[ident])
        self.unknown.append(f"{call.method} {call.path}")
        raise Refused(400, "BadRequest", f"Resource not found for the segment '{steps[-1] if steps else ''}'.")

    def batch(self, call):
        answers = {}
        requests = call.body.get("requests") or []
        if not 0 < len(requests) <= 20:
            raise Refused(400, "BadRequest", "A batch has 1 to 20 requests.")
        for one in requests:
            if any(answers[other]["status"] >= 400 for other in one.get("dependsOn", [])):
                answers[one["id"]] = {"id": one["id"], "status": 424, "body": {"error": {"code": "FailedDependency", "message": ""}}}
                continue
            headers = {**one.get("headers", {}), "Authorization": call.headers.get("Authorization", "")}
            headers = {name.title(): value for name, value in headers.items()}
            if one.get("body") is not None and "json" not in headers.get("Content-Type", ""):
                status, more, body = 400, {}, {"error": {"code": "BadRequest", "message": "Write request with body and no content type."}}
            else:
                status, more, body = self.answer(one["method"], "/v1.0" + one["url"], headers, one.get("body") or {}, [headers.get("Prefer", "")])
            answers[one["id"]] = {"id": one["id"], "status": status, "headers": more, **({"body": body} if body is not None else {})}
        shuffled = list(answers.values())
        random.shuffle(shuffled)
        return 200, {}, {"responses": shuffled}

    def answer(self, method, target, headers, body, prefers):
        """One call of Graph, with the faults that are set for it."""
        path, _, text = target.partition("?")
        query = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        user = headers.get("Authorization", "").startswith("Bearer user-")
        log = {"at": time.time(), "by": "user" if user else "app", "method": method, "path": urllib.parse.unquote(path), "query": query,
               "body": body, "prefer": prefers, "status": 0}
        with self.lock:
            self.flight += 1
            crowded, self.most = self.flight > 4, max(self.most, self.flight)
            self.calls.append(log)
            fault = None if user else self.fault(method, log["path"])
        try:
            if not self.access.get(headers.get("Authorization", "").removeprefix("Bearer "), 0) > time.time():
                raise Refused(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
            if crowded:
                raise Refused(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.", headers={"Retry-After": "1"})
            if fault and not fault.get("after"):
                raise self.trouble(fault)
            call = Call(method, path, query, headers, body, View(prefers))
            status, more, value = self.batch(call) if path == "/v1.0/$batch" else self.graph(call)
            if fault:
                raise self.trouble(fault)
        except Refused as error:
            status, more, value = error.status, error.headers, error.body
        finally:
            with self.lock:
                self.flight -= 1
        log["status"], log["ended"] = status, time.time()
        return status, more, value

    def fault(self, method, path):
        for one in self.faults:
            if one["times"] and method in one.get("method", method) and re.search(one.get("path", ""), path):
                if one.get("skip"):
                    one["skip"] -= 1
                    continue
                one["times"] -= 1
                return one
        return None

    @staticmethod
    def trouble(fault):
        headers = {"Retry-After": str(fault["retryAfter"])} if "retryAfter" in fault else {}
        return Refused(fault["status"], fault.get("code", "UnknownError"), headers=headers)

    # The other side of a test.

    def control(self, order):
        """Orders: token, fault (method, path, status or 0 for no answer, code, retryAfter, times, skip,
        after), calm (ends faults and loops), loop (calendar, times),
        duplicates (400, 409 or same), move (id, calendar; also out of Deleted Items), odd (id, values that replace what the
        event shows), returns (lost or not), expire (delta tokens), revoke (access tokens), forget (calls)."""
        match order["op"]:
            case "token":
                token = "user-" + secrets.token_urlsafe(20)
                self.access[token] = time.time() + 7200
                return {"token": token, "default": self.default, "calendars": {one["name"]: one["id"] for one in self.calendars.values()}}
            case "fault":
                self.faults.append({"times": 1, **order})
            case "calm":
                self.faults, self.loop = [], None
            case "loop":
                self.loop = {"calendar": order["calendar"], "times": order.get("times", -1)}
            case "duplicates":
                self.duplicates = order["as"]
            case "returns":
                self.lose_returns = order["lost"]
            case "move":
                item, _ = self.find(order["id"])
                item.returned = item.place is not None
                self.move(item, self.calendar(order["calendar"]))
            case "odd":
                item, _ = self.find(order["id"])
                item.odd = order["values"]
                item.touch()
                self.tell(item, item.place, "updated")
            case "revoke":
                self.access = {token: when for token, when in self.access.items() if token.startswith("user-")}
            case "expire":
                self.tokens.clear()
                self.rounds.clear()
            case "forget":
                self.calls, self.told = [], []
            case _:
                raise Refused(400, "UnknownOrder")
        return {}

    def report(self):
        return {"calls": self.calls, "told": self.told, "unknown": self.unknown, "mostAtOnce": self.most, "faults": self.faults,
                "subscriptions": list(self.subscriptions.values()), "loop": self.loop}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake = None

    def handle_any(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, text = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        fake, steps = self.fake, path.strip("/").split("/")
        try:
            if path == "/control":
                with fake.lock:
                    status, more, value = 200, {}, fake.report() if self.command == "GET" else fake.control(json.loads(raw))
            elif steps[1:] == ["oauth2", "v2.0", "authorize"]:
                status, more, value = fake.authorize(query)
            elif steps[1:] == ["oauth2", "v2.0", "token"] and self.command == "POST":
                status, more, value = fake.token(dict(urllib.parse.parse_qsl(raw.decode())))
            elif steps[1:] == ["v2.0", ".well-known", "openid-configuration"]:
                status, more, value = 200, {}, fake.discovery(steps[0])
            elif steps[1:] == ["discovery", "v2.0", "keys"]:
                status, more, value = 200, {}, fake.signer.keys(fake.base)
            elif steps[0] == "v1.0":
                body, prefers = json.loads(raw) if raw else {}, self.headers.get_all("Prefer") or []
                status, more, value = fake.answer(self.command, self.path, self.headers, body, prefers)
            else:
                fake.unknown.append(f"{self.command} {path}")
                status, more, value = 404, {}, {"error": {"code": "NotFound", "message": path}}
        except Refused as error:
            status, more, value = error.status, error.headers, error.body
        if status == 0:
            self.close_connection = True
            return
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, one in more.items():
            self.send_header(name, one)
        if data:
            self.send_header("Content-Type", "application/json; odata.metadata=minimal; charset=utf-8")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.send_header("request-id", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description="A fake of Microsoft Graph's calendars")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--client", default="foreign:secret", help="client id and secret")
    arguments = parser.parse_args()
    Handler.fake = Fake(tuple(arguments.client.split(":", 1)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    Handler.fake.base = f"http://127.0.0.1:{server.server_port}"
    print(Handler.fake.base, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
