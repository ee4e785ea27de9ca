//! The examples of request bodies in the OpenAPI document do what they say.

use std::collections::BTreeMap;

use local::openapi;
use local::stack::Options;
use serde_json::{Value, json};

use crate::harness::feeds::daily;
use crate::harness::google::GoogleHarness;
use crate::harness::{Person, ProviderHarness, World, options};

/// Sends examples, with ids that exist in place of those that they show.
struct Examples<'a> {
    world: &'a World,
    left: BTreeMap<String, Value>,
    paths: BTreeMap<String, (String, String)>,
}

impl<'a> Examples<'a> {
    fn new(world: &'a World, document: &Value) -> Self {
        let mut paths = BTreeMap::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                paths.insert(id, (method.to_uppercase(), path.clone()));
            }
        }
        Self {
            world,
            left: openapi::examples(),
            paths,
        }
    }

    async fn send(
        &mut self,
        operation: &str,
        person: Option<&Person>,
        id: &str,
        real: &[(&str, &str)],
    ) -> Value {
        let mut body = self.left.remove(operation).unwrap().to_string();
        for (shown, real) in real {
            assert!(body.contains(shown), "{operation} does not show {shown}");
            body = body.replace(shown, real);
        }
        let (method, path) = &self.paths[operation];
        let path = path.replace("{id}", id).replace("{provider}", "google");
        let token = person.map(|person| person.token.as_str());
        let body = serde_json::from_str(&body).unwrap();
        let answer = self.world.call(method, &path, token, Some(body)).await;
        let is_done = (200..300).contains(&answer.status);
        assert!(is_done, "{operation}: {} {}", answer.status, answer.body);
        answer.body
    }
}

const URL: &str = "https://calendar.example.org/holidays.ics";

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted() {
    send_all(options()).await;
}

/// Sends all examples to a world with these options. Returns the world, and who has sent them.
pub async fn send_all(options: Options) -> (World, GoogleHarness, Person) {
    let (world, google) = World::beside::<GoogleHarness>(options).await;
    let document = world.call("GET", "/api/v1/openapi.json", None, None).await;
    let mut examples = Examples::new(&world, &document.body);
    let signed_up = examples.send("signUp", None, "", &[]).await;
    examples.send("signIn", None, "", &[]).await;
    let grace = Person::from("grace@example.org", &signed_up);
    let refresh = [("{refreshToken}", grace.refresh.as_str())];
    let refreshed = examples.send("refreshTokens", None, "", &refresh).await;
    let person = Person::from("grace@example.org", &refreshed);
    let grace = Some(&person);
    examples.send("updateProfile", grace, "", &[]).await;

    world.feeds.set_ics("f.ics", daily(3, "2030-03-02", "a"));
    let url = world.feeds.url("f.ics");
    let validated = examples
        .send("validateFeed", grace, "", &[(URL, &url)])
        .await;
    assert_eq!(validated["valid"], true);
    let feed = examples
        .send("connectFeed", grace, "", &[(URL, &url)])
        .await;
    let id = feed["id"].as_str().unwrap();
    examples.send("updateFeed", grace, id, &[]).await;
    examples.send("updateCalendarColor", grace, id, &[]).await;

    let page = world
        .link(&google, &person, GoogleHarness::EMAIL, "allow", &[])
        .await;
    let session = page
        .query_pairs()
        .find(|(name, _)| name == "session")
        .unwrap()
        .1;
    let real = [
        ("{session}", &*session),
        ("{remoteCalendarId}", GoogleHarness::EMAIL),
    ];
    let selected = examples.send("selectCalendars", grace, "", &real).await;
    let calendar = selected["calendars"][0]["id"].as_str().unwrap();
    world.sync_calendar(&person, calendar).await;
    let linked = world
        .get(&person, "/api/v1/calendar/oauth/connections")
        .await
        .body;
    let connection = linked["connections"][0]["id"].as_str().unwrap();
    let real = [("{remoteCalendarId}", GoogleHarness::EMAIL)];
    examples
        .send("chooseAccountCalendars", grace, connection, &real)
        .await;
    let real = [("cal_01M9WEW6S8WCF2EKSYCH8Z89JE", calendar)];
    let event = examples.send("createEvent", grace, "", &real).await;
    examples
        .send("updateEvent", grace, event["id"].as_str().unwrap(), &[])
        .await;
    google
        .invite("Party", "2026-12-20T20:00:00", "2026-12-20T23:00:00")
        .await;
    world.sync_calendar(&person, calendar).await;
    let list = "/api/v1/calendar/events?start=2026-12-20&end=2026-12-21&q=party";
    let party = world.get(&person, list).await.body["events"][0]["id"].clone();
    examples
        .send("respondToEvent", grace, party.as_str().unwrap(), &[])
        .await;

    let slot = examples.send("createSlot", grace, "", &[]).await;
    examples
        .send("updateSlot", grace, slot["id"].as_str().unwrap(), &[])
        .await;

    let form = examples.left.remove("signInWithForm").unwrap();
    let mut fields = reqwest::Url::parse("http://localhost/").unwrap();
    let pairs = form.as_object().unwrap().iter();
    fields
        .query_pairs_mut()
        .extend_pairs(pairs.map(|(name, value)| (name, value.as_str().unwrap())));
    let (_, path) = &examples.paths["signInWithForm"];
    let request = google.client().post(format!("{}{path}", world.stack.url));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request
        .body(fields.query().unwrap().to_owned())
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(
        json!(examples.left),
        json!({}),
        "an example that is not sent"
    );
    drop(examples);
    (world, google, person)
}
