//! A client's request, and the answer.

/// As much of a request is read; what is longer is none of a scraper's.
pub(super) const LONGEST_HEAD: usize = 8 * 1024;

const HEADERS: usize = 64;

/// OpenMetrics, which every version of Prometheus since 2.5 understands.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// A client's request, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The metrics, or only what their answer begins with.
    Metrics {
        /// Whether they follow.
        body: bool,
    },
    /// A page that is not there.
    NotFound,
    /// Something other than to read.
    NotAllowed,
    /// Nothing that can be understood, or not of this machine.
    Bad,
}

/// Reads a request from its beginning; `None` while its head is not whole. One that came over the network, be it only the
/// machine's own, must mean this machine.
pub(super) fn read(received: &[u8], over_network: bool) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(received) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if received.len() < LONGEST_HEAD => return None,
        Ok(httparse::Status::Partial) | Err(_) => return Some(Asked::Bad),
    }
    let path = request.path.unwrap_or_default().split('?').next();
    let hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    if over_network && !hosts.map(|host| host.value).all(is_this_machine) {
        return Some(Asked::Bad);
    }
    Some(match (path, request.method) {
        (Some("/metrics"), Some("GET")) => Asked::Metrics { body: true },
        (Some("/metrics"), Some("HEAD")) => Asked::Metrics { body: false },
        (Some("/metrics"), _) => Asked::NotAllowed,
        _ => Asked::NotFound,
    })
}

/// Whether a client may have meant this machine. A page in a browser can have its own name lead here, and would then
/// be shown what programs run; it cannot do so with a number or with `localhost`.
fn is_this_machine(host: &[u8]) -> bool {
    let host = str::from_utf8(host).unwrap_or("?");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let number = name.trim_start_matches('[').trim_end_matches(']');
    name.is_empty() || name.eq_ignore_ascii_case("localhost") || number.parse::<std::net::IpAddr>().is_ok()
}

/// The answer; `page` makes the metrics.
pub(super) fn answer(asked: Asked, page: impl FnOnce() -> String) -> Vec<u8> {
    let (status, more, kind, body) = match asked {
        Asked::Metrics { .. } => ("200 OK", "", METRICS, page()),
        Asked::NotFound => ("404 Not Found", "", PLAIN, "metrics are at /metrics\n".to_owned()),
        Asked::NotAllowed => {
            ("405 Method Not Allowed", "Allow: GET, HEAD\r\n", PLAIN, "metrics can only be read\n".to_owned())
        }
        Asked::Bad => ("400 Bad Request", "", PLAIN, "this is no request for metrics of this machine\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n"
    );
    let body = if asked == (Asked::Metrics { body: false }) { String::new() } else { body };
    (head + &body).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_and_nothing_else() {
        for (request, asked) in [
            ("GET /metrics HTTP/1.1\r\nHost: localhost:9400\r\n\r\n", Asked::Metrics { body: true }),
            ("GET /metrics?name[]=x HTTP/1.0\r\n\r\n", Asked::Metrics { body: true }),
            ("HEAD /metrics HTTP/1.1\r\nhost: [::1]:9400\r\n\r\n", Asked::Metrics { body: false }),
            ("GET / HTTP/1.1\r\n\r\n", Asked::NotFound),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", Asked::NotFound),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", Asked::NotAllowed),
            ("\x16\x03\x01 no HTTP", Asked::Bad),
            ("GET /metrics\r\n\r\n", Asked::Bad),
        ] {
            assert_eq!(read(request.as_bytes(), true), Some(asked), "{request:?}");
        }
    }

    #[test]
    fn a_request_under_way_is_waited_for_up_to_a_limit() {
        assert_eq!(read(b"", true), None);
        assert_eq!(read(b"GET /metrics HTTP/1.1\r\nHost: a", true), None);
        let endless = format!("GET /{}", "x".repeat(LONGEST_HEAD));
        assert_eq!(read(&endless.as_bytes()[..LONGEST_HEAD], true), Some(Asked::Bad));
    }

    #[test]
    fn a_name_that_leads_here_does_not_open_the_metrics_to_a_browser() {
        for (host, is_here) in
            [("localhost", true), ("127.0.0.1:9400", true), ("[::1]", true), ("", true), ("evil.example:9400", false)]
        {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let metrics = Some(Asked::Metrics { body: true });
            assert_eq!(read(request.as_bytes(), true) == metrics, is_here, "{host}");
            assert_eq!(read(request.as_bytes(), false), metrics, "a browser cannot reach a Unix socket");
        }
    }
}
