"""Deploys template.yaml by CloudFormation on an AWS that is not our own emulators, and walks through it over HTTP.

    python local/scripts/deploy/deploy.py [FOLDER WITH ONE BINARY FOR EACH FUNCTION]

The binaries run as processes of this machine, each with the role that the template gives it, and that AWS checks every
call against the role's policies. Prints one line for each thing that holds; at the first that does not, the logs of
all functions, and ends with 1.
"""

import contextlib
import datetime
import http.client
import http.server
import io
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

import boto3
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
STACK = "calweave"
REGION = "us-east-1"
PORT = 18200
ENDPOINT = f"http://127.0.0.1:{PORT}"
# What this AWS does not do, each with what stands in for it:
# - it ignores the OpenAPI body that SAM makes of `HttpApi` events: `add_routes` reads the routes from the template.
# - it knows no `kms:EncryptionContext` in conditions, which would refuse every call: `without_contexts` leaves these out.
# - it fires schedules at the minute: `hurry` sets the deployed schedule to every minute.
SERVICES = "dynamodb,kms,sqs,lambda,apigateway,iam,sts,s3,logs,cloudformation,scheduler,events,secretsmanager,cloudwatch,monitoring"


class Intrinsic(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which only have to be read past."""


def short_form(loader, _tag, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


Intrinsic.add_multi_constructor("!", short_form)


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def start_aws(folder):
    environment = os.environ | {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(PORT),
        "IOT_MTLS_ENABLED": "0",
        "AUTH": "true",
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SERVICES": SERVICES,
    }
    log = open(folder / "aws.log", "wb")
    command = [str(pathlib.Path(sys.executable).parent / "ministack")]
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def stop(process):
    """Stops the process that we started, and the functions that it started: they share its session."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def wait_for(what, ready, seconds):
    last = None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = ready()
            if found:
                return found
        except Exception as error:  # not there yet
            last = error
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s for {what}: {last}")


def package(binaries, template_text):
    """What `sam package` does: each function's code as a zip in S3, and the template that says where."""
    s3 = client("s3")
    s3.create_bucket(Bucket="code")

    def upload(match):
        name = match.group(1)
        with tempfile.TemporaryDirectory() as folder:
            stripped = pathlib.Path(folder) / "bootstrap"
            shutil.copy(binaries / name, stripped)
            subprocess.run(["strip", stripped], check=True)
            info = zipfile.ZipInfo("bootstrap")
            info.external_attr, info.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w", compresslevel=1) as zipped:
                zipped.writestr(info, stripped.read_bytes())
        s3.put_object(Bucket="code", Key=f"{name}.zip", Body=archive.getvalue())
        return f"CodeUri: s3://code/{name}.zip"

    return re.sub(r"CodeUri: functions/(\w+)", upload, template_text)


def without_contexts(template_text):
    condition = r' +Condition:\n +StringLike:\n +"kms:EncryptionContext:user": "usr_\*"\n'
    changed, count = re.subn(condition, "", template_text)
    assert count, "no condition on the encryption context was found"
    return changed


def deploy(template_text):
    cloudformation = client("cloudformation")
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}[os.uname().machine]
    # A template of this size is read from a bucket, as SAM does it too.
    client("s3").put_object(Bucket="code", Key="template.yaml", Body=template_text.encode())
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{ENDPOINT}/code/template.yaml",
        Parameters=[{"ParameterKey": "Architecture", "ParameterValue": machine}, {"ParameterKey": "LogLevel", "ParameterValue": "debug"}],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )

    def done():
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        return stack if not stack["StackStatus"].endswith("IN_PROGRESS") else None

    stack = wait_for("the stack", done, 120)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        for event in cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]:
            print(event.get("LogicalResourceId"), event.get("ResourceStatus"), event.get("ResourceStatusReason", ""))
        raise AssertionError(f"the stack is {stack['StackStatus']}: {stack.get('StackStatusReason')}")
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}


def functions_of(template):
    return {name: one["Properties"] for name, one in template["Resources"].items() if one["Type"] == "AWS::Serverless::Function"}


def add_routes(template, resources):
    api, functions = client("apigatewayv2"), client("lambda")
    count = 0
    for name, properties in functions_of(template).items():
        routes = [event["Properties"] for event in properties["Events"].values() if event["Type"] == "HttpApi"]
        if not routes:
            continue
        arn = functions.get_function(FunctionName=resources[name])["Configuration"]["FunctionArn"]
        integration = api.create_integration(
            ApiId=resources["Api"], IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
        )["IntegrationId"]
        for route in routes:
            api.create_route(
                ApiId=resources["Api"], RouteKey=f"{route['Method']} {route['Path']}", Target=f"integrations/{integration}"
            )
            count += 1
    return count


def allow_loopback(template, resources, providers):
    """The one thing that no deployment may do: the test's feed, and its providers, are on this machine."""
    functions = client("lambda")
    own = {"ALLOW_LOOPBACK_FEEDS": "on"}
    for provider in providers:
        callback = f"{base_of(resources)}/api/v1/calendar/oauth/{provider.NAME}/callback"
        own |= provider.variables | {f"{provider.NAME.upper()}_REDIRECT_URI": callback}
    for name in functions_of(template):
        variables = functions.get_function_configuration(FunctionName=resources[name])["Environment"]["Variables"]
        variables |= own
        functions.update_function_configuration(FunctionName=resources[name], Environment={"Variables": variables})


def hurry(schedule_of):
    """Sets the deployed schedule of a function to every minute, and changes nothing else."""
    scheduler = client("scheduler")
    for summary in scheduler.list_schedules()["Schedules"]:
        schedule = scheduler.get_schedule(Name=summary["Name"], GroupName=summary.get("GroupName", "default"))
        if schedule_of in schedule["Target"]["Arn"]:
            kept = {key: schedule[key] for key in ("Name", "GroupName", "Target", "FlexibleTimeWindow") if key in schedule}
            expression = schedule["ScheduleExpression"]
            scheduler.update_schedule(**kept, ScheduleExpression="rate(1 minute)")
            return expression
    raise AssertionError(f"no schedule for {schedule_of}")


@contextlib.contextmanager
def without_role(template, resources, function):
    """Takes a function's policies away for a while: shows that this AWS asks them."""
    iam, role = client("iam"), resources[f"{function}Role"]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    kept = {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
    for name in names:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        yield
    finally:
        for name, document in kept.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


class Feed(http.server.BaseHTTPRequestHandler):
    """A feed whose one event has as many words in its title as it was fetched times."""

    fetches = 0

    def do_GET(self):
        Feed.fetches += 1
        day = datetime.date.today() + datetime.timedelta(days=2)
        lines = [
            "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//deploy test//EN", "X-WR-CALNAME:Deployed", "REFRESH-INTERVAL:PT15M",
            "BEGIN:VEVENT", "UID:1@deploy.example.org", "DTSTAMP:20260101T000000Z", f"DTSTART;TZID=Europe/Berlin:{day:%Y%m%d}T090000",
            "DURATION:PT1H", f"SUMMARY:Fetched {Feed.fetches} times", "END:VEVENT", "END:VCALENDAR", "",
        ]
        body = "\r\n".join(lines).encode()
        self.send_response(200)
        self.send_header("content-type", "text/calendar")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def base_of(resources):
    return f"{ENDPOINT}/_aws/execute-api/{resources['Api']}/$default"


class Provider:
    """A provider of this machine, and the browser of the person who has an account there."""

    def __init__(self, binaries):
        self.process = subprocess.Popen([binaries / "calweave", f"--{self.NAME}-only"], stdout=subprocess.PIPE, text=True)
        self.variables = {}
        while len(self.variables) < 3:
            line = self.process.stdout.readline()
            assert line, "the sandbox did not start"
            if match := re.match(r"export (\w+)='(.*)'", line):
                self.variables[match[1]] = match[2]
        self.url = self.variables[f"{self.NAME.upper()}_ENDPOINT"]

    def consent(self, auth_url):
        """Grants what is asked for; answers with where the browser is sent back to."""
        asked = urllib.parse.parse_qsl(urllib.parse.urlsplit(auth_url).query)
        granted = [("granted", scope) for scope in dict(asked)["scope"].split()]
        form = urllib.parse.urlencode([*asked, ("email", self.EMAIL), ("answer", "allow"), *granted])
        return redirect("POST", self.url + self.CONSENT, form, {"content-type": "application/x-www-form-urlencoded"})

    def call(self, method, path, body=None):
        """As the person, through the provider's own API."""
        token = self.fetch("POST", f"/sandbox/{self.NAME}/token", {"email": self.EMAIL})["accessToken"]
        return self.fetch(method, self.API + path, body, {"authorization": f"Bearer {token}"})

    def fetch(self, method, path, body=None, headers=()):
        request = urllib.request.Request(self.url + path, method=method, headers=dict(headers))
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def channels(self):
        return self.fetch("GET", f"/sandbox/{self.NAME}/report")["channels"]

    def rename(self, event, title):
        self.call("PATCH", f"events/{urllib.parse.quote(event['id'], safe='')}", {self.TITLE: title})

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


class Google(Provider):
    NAME, EMAIL, CONSENT, TITLE = "google", "grace@example.org", "/o/oauth2/v2/consent", "summary"
    API = "/calendar/v3/calendars/primary/"

    def events(self):
        return self.call("GET", "events")["items"]


class Microsoft(Provider):
    NAME, EMAIL, CONSENT, TITLE = "microsoft", "grace@contoso.test", "/sandbox/microsoft/consent", "subject"
    API = "/v1.0/me/calendar/"

    def events(self):
        return self.call("GET", "events")["value"]


def redirect(method, url, body=None, headers=()):
    """Where an answer sends the browser, without going there."""
    parts = urllib.parse.urlsplit(url)
    browser = http.client.HTTPConnection(parts.netloc, timeout=40)
    browser.request(method, f"{parts.path}?{parts.query}", body, dict(headers))
    answer = browser.getresponse()
    assert answer.status in (302, 303), (answer.status, answer.read())
    return answer.headers["location"]


class Api:
    def __init__(self, resources):
        self.base = base_of(resources)
        self.cookie = None
        self.token = None

    def call(self, method, path, body=None, headers=()):
        request = urllib.request.Request(self.base + path, method=method, headers=dict(headers))
        if self.token:
            request.add_header("authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                self.cookie = (answer.headers["set-cookie"] or "").split(";")[0] or self.cookie
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")


passed = 0


def holds(what, condition, seen=None):
    global passed
    if not condition:
        raise AssertionError(f"{what}: {seen}")
    passed += 1
    print(f"ok  {what}", flush=True)


def two_ways(api, provider):
    """An account is linked, and both sides agree, with the permissions that the roles give."""
    name, path = provider.NAME.capitalize(), f"/api/v1/calendar/oauth/{provider.NAME}"
    status, login = api.call("GET", f"{path}/login")
    holds(f"a sign-in with {name} begins", status == 200 and api.cookie, (status, login))
    back = provider.consent(login["authUrl"])
    page = redirect("GET", back, headers={"cookie": api.cookie})
    session = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query)).get("session")
    holds("the browser comes back with a session", session, page)
    status, offered = api.call("GET", f"/api/v1/calendar/oauth/session/{session}")
    chosen = {"sessionId": session, "selectedCalendarIds": [offered["calendars"][0]["id"]]}
    status, chosen = api.call("POST", f"{path}/select", chosen)
    holds("a calendar is connected", status == 201, (status, chosen))
    calendar = chosen["calendars"][0]["id"]

    def stands():
        return api.call("GET", f"/api/v1/calendar/calendars/{calendar}")[1]

    wait_for("the first sync and a channel", lambda: stands()["hasWebhook"], 60)
    day = datetime.date.today() + datetime.timedelta(days=2)
    body = {"calendarId": calendar, "title": "Made here", "startTime": f"{day}T09:00:00", "endTime": f"{day}T10:00:00"}
    status, made = api.call("POST", "/api/v1/calendar/events?wait=25", body)
    holds(f"an event that is made here is written to {name}", (status, made.get("syncStatus")) == (201, "SYNCED"), (status, made))
    there = provider.events()
    holds("and is there", [one[provider.TITLE] for one in there] == ["Made here"], there)
    provider.rename(there[0], "Renamed there")

    def title():
        return api.call("GET", f"/api/v1/calendar/events/{made['id']}")[1].get("title") == "Renamed there"

    wait_for("a push", title, 60)
    holds(f"a change at {name} is pushed, and arrives", True)
    return calendar, made


def slots_and_jobs(api, resources, calendar):
    """What else is done about calendars of accounts."""
    slot = {"title": "Kept", "dayOfWeek": "MONDAY", "startTime": "09:00", "endTime": "10:00", "calendarId": calendar}
    status, kept = api.call("POST", "/api/v1/slots", slot)
    holds("a slot is kept", status == 201, (status, kept))
    status, again = api.call("POST", "/api/v1/slots", slot)
    holds("and only once", status == 409, (status, again))
    for method, path in [("GET", "/api/v1/sync/status"), ("POST", "/api/v1/sync/push-all"), ("POST", "/api/v1/webhooks/setup")]:
        status, answer = api.call(method, path)
        holds(f"{path} answers", status in (200, 202), (status, answer))
    functions = client("lambda")
    for event in sorted((ROOT / "events").glob("*.json")):
        if "aws.scheduler" not in event.read_text():
            continue
        name = event.stem.title().replace("_", "") + "Function"
        answer = functions.invoke(FunctionName=resources[name], Payload=b'{"source": "aws.scheduler"}')
        holds(f"{name} runs", "FunctionError" not in answer, answer["Payload"].read())


def parted(api, provider, calendar, made):
    """The account is given up."""
    status, answer = api.call("DELETE", f"/api/v1/calendar/events/{made['id']}?wait=25")
    holds("an event is removed on both sides", status == 200, (status, answer))
    status, answer = api.call("DELETE", f"/api/v1/calendar/calendars/{calendar}")
    holds("the calendar is disconnected", status == 204, (status, answer))
    wait_for("the channel to be closed", lambda: provider.channels() == 0, 30)
    holds("its channel is closed", True)


def journey(template, resources, feed, google, microsoft):
    api = Api(resources)
    with without_role(template, resources, "HealthFunction"):
        status, ready = api.call("GET", "/api/v1/health/ready")
        holds("a function whose role may do nothing is refused", status == 503, (status, ready))
    status, ready = api.call("GET", "/api/v1/health/ready")
    holds("health/ready reaches DynamoDB, KMS and the queue with the role's own permissions", status == 200, (status, ready))
    status, person = api.call("POST", "/api/v1/auth/signup", {"email": "ada@example.org", "password": "correct horse battery"})
    holds("somebody signs up", status == 201, (status, person))
    api.token = person["accessToken"]
    status, calendar = api.call("POST", "/api/v1/calendar/ics/connect", {"url": feed})
    holds("a feed is connected, its address sealed", status == 201, (status, calendar))

    def shown():
        today = datetime.date.today()
        window = f"start={today}&end={today + datetime.timedelta(days=7)}"
        status, answer = api.call("GET", f"/api/v1/calendar/events?{window}")
        assert status == 200, (status, answer)
        return answer["events"]

    events = wait_for("the worker to bring the event", shown, 60)
    holds("the queue hands the message to the worker, and the event comes back", events[0]["timezone"] == "Europe/Berlin", events)
    queue = client("sqs")

    def messages(name):
        counts = queue.get_queue_attributes(QueueUrl=resources[name], AttributeNames=["All"])["Attributes"]
        return int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesNotVisible"])

    wait_for("the message to be deleted", lambda: messages("SyncQueue") == 0, 30)
    holds("no message is left over, waiting or under way", messages("SyncDeadLetters") == 0)

    # Due again: moves the feed's due time into the past, as a quarter of an hour would.
    dynamodb = client("dynamodb")
    table = resources["CalendarTable"]
    for item in dynamodb.scan(TableName=table)["Items"]:
        if "dueSk" in item:
            past = re.sub(r"^\d{4}", "2020", item["dueSk"]["S"])
            dynamodb.update_item(
                TableName=table, Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET dueSk = :past", ExpressionAttributeValues={":past": {"S": past}},
            )
    before = Feed.fetches
    holds("the schedule is every quarter of an hour", hurry(resources["RefreshFeedsFunction"]) == "rate(15 minutes)")
    wait_for("the schedule to fire and the worker to fetch", lambda: Feed.fetches > before, 150)
    wait_for("the changed event", lambda: shown()[0]["title"] != events[0]["title"], 30)
    holds("the schedule fires refresh_feeds, and the change arrives", True)

    status, answer = api.call("DELETE", f"/api/v1/calendar/calendars/{calendar['id']}")
    holds("the calendar is disconnected", status in (200, 204), (status, answer))
    wait_for("its events to go", lambda: not shown(), 30)
    holds("its events go", True)
    calendar, made = two_ways(api, google)
    slots_and_jobs(api, resources, calendar)
    parted(api, google, calendar, made)
    calendar, made = two_ways(api, microsoft)
    day = datetime.date.today().replace(day=1) + datetime.timedelta(days=62)
    body = {"calendarId": calendar, "title": "Twice a month", "startTime": f"{day}T09:00:00", "endTime": f"{day}T10:00:00",
            "recurrenceRule": f"FREQ=MONTHLY;BYMONTHDAY={day.day},{day.day + 10};COUNT=3", "whenInexpressible": "EXPAND"}
    status, made = api.call("POST", "/api/v1/calendar/events?wait=25", body)
    holds("a series that it cannot express is written out", (status, len(made.get("expandedInto", []))) == (201, 3), (status, made))
    status, answer = api.call("DELETE", "/api/v1/auth/account", {"password": "correct horse battery"})
    holds("the account is deleted", status in (200, 202, 204), (status, answer))
    wait_for("the subscription to be closed", lambda: microsoft.channels() == 0, 30)
    holds("and its subscription at Microsoft is closed", True)


def logs():
    groups = client("logs")
    for group in groups.describe_log_groups()["logGroups"]:
        print(f"== {group['logGroupName']}")
        for event in groups.filter_log_events(logGroupName=group["logGroupName"])["events"][-60:]:
            print(event["message"].rstrip())


def main():
    binaries = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug").resolve()
    text = (ROOT / "template.yaml").read_text()
    template = yaml.load(text, Intrinsic)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="calweave-deploy-"))
    feed = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Feed)
    threading.Thread(target=feed.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    aws, providers = start_aws(folder), []
    try:
        wait_for("the other AWS to listen", lambda: client("sts").get_caller_identity() and aws.poll() is None, 60)
        resources = deploy(without_contexts(package(binaries, text)))
        holds(f"CloudFormation makes all {len(resources)} resources of template.yaml", True)
        holds(f"{add_routes(template, resources)} routes are added", True)
        providers = [Google(binaries), Microsoft(binaries)]
        allow_loopback(template, resources, providers)
        journey(template, resources, f"http://127.0.0.1:{feed.server_port}/{secrets.token_hex(8)}.ics", *providers)
        print(f"{passed} passed, 0 failed")
        return 0
    except Exception as error:
        print(f"FAILED  {error}")
        try:
            logs()
        except Exception as missing:
            print(f"no logs: {missing}")
        print("\n".join((folder / "aws.log").read_text(errors="replace").splitlines()[-60:]))
        print(f"{passed} passed, 1 failed")
        return 1
    finally:
        stop(aws)
        for provider in providers:
            provider.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
