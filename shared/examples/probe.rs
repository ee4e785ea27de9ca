use shared::domain::{agenda, ids::CalendarId};
use shared::providers::ics::{self, ReadFor};
use chrono::{DateTime, Utc};
fn main() {
    let target = ReadFor { calendar: CalendarId::from_bytes([1; 16]), zone: chrono_tz::UTC, now: "2026-11-21T00:00:00Z".parse().unwrap() };
    for file in ["recurrence", "recurrence_policy"] {
        let text = std::fs::read_to_string(format!("/work/shared/data/{file}.jsonl")).unwrap();
        let (mut ok, mut bad) = (0, 0);
        for line in text.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let feed = ics::read(case["ics"].as_str().unwrap().as_bytes(), None, target).unwrap();
            let at = |i: usize| case["window"][i].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
            let window = agenda::Window { start: at(0), end: at(1), zone: chrono_tz::UTC };
            let mut found: Vec<_> = feed.events.iter().flat_map(|e| agenda::occurrences(e, &window).0).filter(|o| o.starts_at >= window.start).collect();
            found.sort_by_key(|o| o.starts_at);
            let got: Vec<String> = found.iter().map(|o| match o.start { shared::domain::time::EventTime::Floating(l) => l.format("%Y-%m-%dT%H:%M:%S").to_string(), shared::domain::time::EventTime::Date(d) => d.to_string(), _ => o.starts_at.format("%Y-%m-%dT%H:%M:%SZ").to_string() }).collect();
            let list = |v: &serde_json::Value| v.as_array().unwrap().iter().map(|s| { let s = s.as_str().unwrap(); DateTime::parse_from_rfc3339(s).map_or(s.to_owned(), |d| d.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()) }).collect::<Vec<_>>();
            let good = if file == "recurrence" { got == list(&case["expected"]) } else { case["accept"].as_array().unwrap().iter().any(|a| list(a) == got) };
            if good { ok += 1 } else { bad += 1; {let (mut g,mut e)=(got.clone(),list(&case["expected"])); let gg=g.clone(); g.retain(|x| !e.contains(x)); e.retain(|x| !gg.contains(x)); println!("  only got {:?}  missing {:?} len {} {}",g,e,gg.len(),case["expected"].as_array().unwrap().len());} println!("{} {} {}\n  got {:?}\n  exp {:?}\n  {:?}", case["id"], case["policy"], case["tags"], got.iter().take(8).collect::<Vec<_>>(), list(&case["expected"]).iter().take(8).collect::<Vec<_>>(), case["ics"].as_str().unwrap().replace("\r\n", "|").chars().skip(70).take(420).collect::<String>()); }
        }
        println!("{file}: {ok} ok {bad} bad");
    }
    let mut n = 0;
    for line in std::fs::read_to_string("/work/shared/data/ics/manifest.jsonl").unwrap().lines() {
        let m: serde_json::Value = serde_json::from_str(line).unwrap();
        let body = std::fs::read(format!("/work/shared/data/ics/{}", m["file"].as_str().unwrap())).unwrap();
        let got = ics::read(&body, None, target);
        let counts: Vec<_> = m["vevents"].as_object().unwrap().values().map(|v| v.as_u64()).collect();
        let c = got.as_ref().map(|f| f.vevent_count as u64).ok();
        if !counts.contains(&c) || m["valid"] == "yes" && counts.iter().any(|x| x.is_some() && *x != c) { println!("{} {} {:?} {:?}", m["file"], m["valid"], c, counts); }
        if let Ok(f) = &got { if f.events.len() != f.vevent_count && m["valid"] != "no" { println!("   kept {} of {}: {} {:?}", f.events.len(), f.vevent_count, m["file"], f.warnings); } }
        n += 1;
    }
    println!("{n} feeds");
}
