//! Metrics as a scraper has them: asked for over a socket, and read strictly.

use super::LONG;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// The address of metrics, as `missile up` says it.
#[derive(Clone, Debug)]
pub struct Served(pub String);

/// A connection.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Served {
    /// The address in a line such as `metrics at http://127.0.0.1:9400/metrics`.
    #[track_caller]
    pub fn said_in(text: &str) -> Served {
        let mut places = text.lines().filter_map(|line| line.strip_prefix("metrics at "));
        Served(places.next().unwrap_or_else(|| panic!("no place is said in {text:?}")).to_owned())
    }

    /// Connects.
    pub fn connect(&self) -> io::Result<Box<dyn Stream>> {
        if let Some(path) = self.0.strip_prefix("unix:") {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LONG))?;
            return Ok(Box::new(stream));
        }
        let address = self.0.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LONG))?;
        Ok(Box::new(stream))
    }

    /// Sends this, and has the whole answer.
    #[track_caller]
    pub fn answer_to(&self, request: &str) -> String {
        let mut stream = self.connect().expect("a connection");
        stream.write_all(request.as_bytes()).expect("the request is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// The metrics.
    #[track_caller]
    pub fn scrape(&self) -> Page {
        let answer = self.answer_to("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        Page::read(body)
    }
}

/// A sample's name and its labels.
type Key = (String, BTreeMap<String, String>);

/// All samples of a page.
#[derive(Debug)]
pub struct Page(BTreeMap<Key, f64>);

impl Page {
    /// Reads the OpenMetrics text format: each sample once and beneath its family's type, and an end.
    #[track_caller]
    fn read(text: &str) -> Page {
        let mut samples = BTreeMap::new();
        let (mut family, mut families) = (String::new(), BTreeSet::new());
        let body = text.strip_suffix("# EOF\n").expect("the page has an end");
        for line in body.lines() {
            match line.strip_prefix("# ") {
                Some(about) => {
                    let words: Vec<&str> = about.splitn(3, ' ').collect();
                    assert!(["HELP", "TYPE", "UNIT"].contains(&words[0]) && words.len() == 3, "{line}");
                    if words[0] == "TYPE" {
                        family = words[1].to_owned();
                        assert!(families.insert(family.clone()), "{family} is there twice");
                    }
                }
                None => {
                    let (key, value) = sample(line);
                    let suffix = key.0.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is none of {family}"));
                    assert!(["", "_total", "_info", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
                    assert!(samples.insert(key, value).is_none(), "{line} is there twice");
                }
            }
        }
        Page(samples)
    }

    /// The value of the one sample with this name that has these labels.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.labelled(name, labels);
        assert_eq!(all.len(), 1, "{name} {labels:?}: {all:?}");
        all[0].1
    }

    /// All samples with this name that have these labels.
    pub fn labelled(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(&BTreeMap<String, String>, f64)> {
        let has = |of: &BTreeMap<String, String>| {
            labels.iter().all(|&(key, value)| of.get(key).is_some_and(|has| has == value))
        };
        let named = self.0.iter().filter(|((has_name, of), _)| has_name == name && has(of));
        named.map(|((_, labels), &value)| (labels, value)).collect()
    }

    /// The bound within which a part of a histogram's values lies, as `missile top` tells it; 0 where there are none.
    #[track_caller]
    pub fn within_us(&self, name: &str, labels: &[(&str, &str)], part: f64) -> u64 {
        let mut buckets: Vec<(f64, f64)> = self
            .labelled(&format!("{name}_bucket"), labels)
            .into_iter()
            .map(|(labels, count)| (labels["le"].parse().unwrap_or(f64::INFINITY), count))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
        let &(last, count) = buckets.last().expect("buckets");
        assert_eq!((last, count), (f64::INFINITY, self.value(&format!("{name}_count"), labels)));
        let wanted = (count * part).ceil();
        match buckets.iter().find(|&&(_, seen)| count > 0.0 && seen >= wanted) {
            Some((bound, _)) => (bound * 1e6).round() as u64,
            None => 0,
        }
    }
}

/// Reads `name{label="value",…} number`.
#[track_caller]
fn sample(line: &str) -> (Key, f64) {
    let (front, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, mut rest)) = front.split_once('{') else { return ((front.to_owned(), BTreeMap::new()), value) };
    let mut labels = BTreeMap::new();
    while rest != "}" {
        let (key, quoted) = rest.trim_start_matches(',').split_once("=\"").expect("a label");
        let mut text = String::new();
        let mut letters = quoted.char_indices();
        rest = loop {
            match letters.next().expect("the label's end") {
                (at, '"') => break &quoted[at + 1..],
                (_, '\\') => text.push(match letters.next().expect("what is escaped").1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => text.push(other),
            }
        };
        assert!(labels.insert(key.to_owned(), text).is_none(), "{key} is there twice: {line}");
    }
    ((name.to_owned(), labels), value)
}
