//! `cargo bench -p local --bench schedule`: how many runs a schedule takes to request 100,000 due calendars, or as many as
//! the argument says, and what each of them costs.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot continue panics"
)]

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use chrono::TimeDelta;
use local::stack::{Options, Stack};
use local::template::Template;
use shared::clock::Clock;
use shared::domain::ids::{CalendarId, UserId};
use shared::store::keys::{self, DueKind};
use shared::sync::refresh_due;

/// How many calendars are due.
const CALENDARS: u32 = 100_000;

#[tokio::main]
async fn main() {
    let clock = Clock::manual("2027-01-01T00:00:00Z".parse().unwrap());
    let options = Options {
        clock: clock.clone(),
        background: false,
        ..Options::default()
    };
    let stack = Stack::start(&Template::bundled().unwrap(), options)
        .await
        .unwrap();
    let arguments = std::env::args().skip(1);
    let mut calendars = arguments.filter_map(|argument| argument.parse().ok());
    let calendars: u32 = calendars.next().unwrap_or(CALENDARS);
    fill(&stack, &clock, calendars).await;
    let context = stack.schedule();
    let (mut runs, mut requested) = (0_u32, 0);
    let mut slowest = Duration::ZERO;
    context.store.meter().take();
    loop {
        let started = Instant::now();
        let count = refresh_due(&context, DueKind::Feed).await.unwrap();
        if count == 0 {
            break;
        }
        slowest = slowest.max(started.elapsed());
        runs += 1;
        requested += count;
        // The next run: what was requested before is not due again within half an hour.
        clock.advance(TimeDelta::minutes(15));
    }
    let (read, written, calls) = context.store.meter().take();
    let each = |total: f64| total / f64::from(calendars);
    say(&format!(
        "due calendars            {requested} requested in {runs} runs, the slowest {slowest:.1?}; for each {:.2} read and {:.2} write units, {:.2} calls",
        each(read),
        each(written),
        each(f64::from(u32::try_from(calls).unwrap()))
    ));
    stack.stop().await;
}

/// Stores cursors of feeds that are due.
async fn fill(stack: &Stack, clock: &Clock, calendars: u32) {
    let table = &stack.services.variables["CALENDAR_TABLE"];
    let due_at = clock.now() - TimeDelta::minutes(1);
    let one = || {
        let (user, calendar) = (UserId::new(clock), CalendarId::new(clock));
        let mut item = keys::cursor(user, calendar).attributes();
        let due_in = AttributeValue::S(DueKind::Feed.partition_of(user));
        item.insert("duePk".to_owned(), due_in.clone());
        item.insert("dueIn".to_owned(), due_in);
        let due_sort = keys::due_sort(due_at, &calendar.to_string());
        item.insert("dueSk".to_owned(), AttributeValue::S(due_sort));
        let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    for _ in 0..calendars / 25 {
        let batch: Vec<WriteRequest> = (0..25).map(|_| one()).collect();
        let request = stack.services.dynamodb.batch_write_item();
        request.request_items(table, batch).send().await.unwrap();
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn say(line: &str) {
    println!("{line}");
}
