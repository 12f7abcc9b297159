//! Metrics: what they say, where they are, and that whoever asks harms nobody.

mod harness;

use harness::programs::{Held, said};
use harness::scrape::{Page, Served};
use harness::{LONG, Place, example_path, tenant_of};
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// An arbiter that serves metrics at the address; ends with the guard.
fn up(place: &Place, address: &str) -> (Held, Served) {
    let arbiter = Held::start(&mut place.missile(&["up", "--foreground", "--metrics", address]));
    let served = Served::said_in(&arbiter.says_up_to("metrics at "));
    place.wait_for("the arbiter", |top| top["arbiter"]["pid"] == arbiter.id());
    (arbiter, served)
}

/// The address of a Unix socket, and its path.
fn socket(place: &Place) -> (String, std::path::PathBuf) {
    let path = place.path("run/metrics.sock");
    (format!("unix:{}", path.display()), path)
}

fn signal(tenant: &Held, signal: i32) {
    // SAFETY: kill touches no memory; the child is not waited for yet, so the number is its own.
    assert_eq!(unsafe { libc::kill(tenant.id() as libc::pid_t, signal) }, 0);
}

/// `top` once nobody moves any more: no bus shows as busy, and it says the same twice.
fn top_at_rest(place: &Place) -> Value {
    let last = RefCell::new(Value::Null);
    place.wait_for("rest", |top| {
        let mut now = top.clone();
        now["arbiter"]["uptime_s"] = Value::Null;
        let idle = now["bus"].as_array().is_some_and(|buses| buses.iter().all(|bus| bus["busy_ratio"] == 0.0));
        last.replace(now.clone()) == now && idle
    })
}

/// Checks that a page and `top` say the same.
#[track_caller]
fn assert_agree(page: &Page, top: &Value) {
    let same = |name: &str, labels: &[(&str, &str)], shown: &Value| {
        assert_eq!(Some(page.value(name, labels)), shown.as_f64(), "{name} {labels:?}");
    };
    assert_eq!(page.value("missile_up", &[]), 1.0);
    for (name, key) in [("used", "used"), ("budget", "budget"), ("guaranteed", "guaranteed")] {
        same(&format!("missile_maps_{name}"), &[], &top["maps"][key]);
    }
    for bus in top["bus"].as_array().unwrap() {
        let labels = [("gpu", &*bus["gpu"].to_string()), ("direction", bus["dir"].as_str().unwrap())];
        same("missile_bus_bytes_total", &labels, &bus["bytes"]);
        same("missile_bus_busy_ratio", &labels, &bus["busy_ratio"]);
    }
    let tenants = top["tenants"].as_array().unwrap();
    assert_eq!(page.labelled("missile_tenant_info", &[]).len(), tenants.len());
    for tenant in tenants {
        let text = |key: &str| tenant[key].as_str().unwrap().to_owned();
        let (pid, name, class) = (tenant["pid"].to_string(), text("name"), text("class"));
        let labels = [("pid", &*pid), ("name", &*name), ("class", &*class)];
        let with = |key, value| [&labels[..], &[(key, value)]].concat();
        for (metric, key) in [
            ("colored_bytes", "colored_bytes"),
            ("uncolored_bytes", "uncolored_bytes"),
            ("maps", "maps"),
            ("weight", "weight"),
            ("launches_total", "launches"),
            ("graph_launches_total", "graph_launches"),
            ("slice_calls_total", "slice_calls"),
            ("bypassed_calls_total", "bypassed"),
        ] {
            same(&format!("missile_tenant_{metric}"), &labels, &tenant[key]);
        }
        for direction in ["h2d", "d2h", "d2d"] {
            let copied = &tenant[format!("{direction}_bytes")];
            same("missile_tenant_copied_bytes_total", &with("direction", direction), copied);
        }
        let passed = tenant["passed"].as_object().unwrap();
        assert_eq!(page.labelled("missile_tenant_passed_calls_total", &labels).len(), passed.len());
        for (why, count) in passed {
            same("missile_tenant_passed_calls_total", &with("why", why), count);
        }
        for engine in ["gr", "copy"] {
            let labels = with("engine", engine);
            let held = tenant["held_ms"][engine].as_f64().unwrap() / 1e3;
            assert_eq!(page.value("missile_tenant_held_seconds_total", &labels), held);
            match tenant["slice_us"][engine].as_f64() {
                Some(slice) => assert_eq!(page.value("missile_tenant_slice_seconds", &labels), slice / 1e6),
                None => assert!(page.labelled("missile_tenant_slice_seconds", &labels).is_empty()),
            }
        }
        let (info, one) = page.labelled("missile_tenant_info", &labels)[0];
        let color = tenant["color"].as_u64().map_or("none".to_owned(), |color| color.to_string());
        assert_eq!((one, &info["state"], &info["color"], &*info["sms"]), (1.0, &text("state"), &color, "all"));
    }
}

#[test]
fn metrics_over_a_port_and_over_a_unix_socket_say_what_top_says() {
    let place = Place::with_table();
    for address in ["0", "127.0.0.1:0", &socket(&place).0] {
        let (_arbiter, served) = up(&place, address);
        let mut holder = Held::start_listening(&mut place.tenant(&["--class", "ls"], "roundtrip", &["--hold", "4M"]));
        holder.says();
        let bulk = ["bulk", "8M", "--seconds", "3600"];
        let copiers =
            [(); 2].map(|()| Held::start(&mut place.tenant(&["--class", "be", "--color", "off"], "copier", &bulk)));
        place.wait_for("turns", |top| {
            let stood_still = |held: &Held| {
                tenant_of(top, held.id()).is_some_and(|tenant| tenant["held_ms"]["copy"].as_f64() > Some(0.0))
            };
            copiers.iter().all(stood_still)
        });
        copiers.iter().for_each(|copier| signal(copier, libc::SIGSTOP));
        let top = top_at_rest(&place);
        let page = served.scrape();
        assert!(page.value("missile_uptime_seconds", &[]) >= top["arbiter"]["uptime_s"].as_f64().unwrap());
        assert_agree(&page, &top);
        let id = holder.id().to_string();
        assert!(page.value("missile_tenant_colored_bytes", &[("pid", &id)]) > 0.0);
        copiers.into_iter().for_each(Held::kill);
        holder.go_on();
        assert_eq!(holder.finish().code, Some(0));
    }
}

#[test]
fn a_hostile_name_stays_within_its_label() {
    let place = Place::with_table();
    let (_arbiter, served) = up(&place, "0");
    let link = place.path("a\"} 9\n\\x,b=\"");
    symlink(example_path("roundtrip"), &link).unwrap();
    let mut command = place.missile(&["run", "--sim", "h200", "--color", "off", "--"]);
    let tenant = Held::start_listening(command.arg(&link).args(["--hold", "4M"]));
    tenant.says();
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |tenant| tenant["class"] == "be");
    assert_eq!(shown["name"], "a\"} 9?\\x,b=\"");
    let top = top_at_rest(&place);
    assert_agree(&served.scrape(), &top);
}

#[test]
fn what_is_not_on_loopback_or_no_address_is_refused() {
    let place = Place::new();
    for way in [&["up"][..], &["up", "--foreground"]] {
        for (address, words) in [
            ("0.0.0.0:9400", ["other machines", "127.0.0.1:PORT"]),
            ("[::]:9400", ["other machines", "unix:PATH"]),
            ("192.168.0.1:9400", ["password", "192.168.0.1:9400"]),
            ("localhost:9400", ["localhost:9400", "127.0.0.1:PORT"]),
            ("65536", ["65536", "PORT"]),
            ("/run/metrics.sock", ["/run/metrics.sock", "unix:PATH"]),
            ("unix:", ["unix:", "unix:PATH"]),
            (&format!("unix:/{}", "x".repeat(200)), ["107 bytes", "xxx"]),
        ] {
            let said = said(&mut place.missile(&[way, &["--metrics", address]].concat()));
            assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:?}");
            assert!(words.iter().all(|word| said.one_line().contains(word)), "{said:?}");
        }
    }
    assert!(place.top().is_none());
    assert!(!place.region().exists());
}

/// `up` fails with one sentence that has these words, and nothing is left behind.
#[track_caller]
fn assert_fails(place: &Place, address: &str, words: &[&str]) {
    for way in [&["up"][..], &["up", "--foreground"]] {
        let said = said(&mut place.missile(&[way, &["--metrics", address]].concat()));
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
        assert!(words.iter().all(|word| said.one_line().contains(word)), "{said:?}");
        assert!(place.top().is_none());
        assert!(!place.region().exists() && !place.region().with_extension("metrics").exists());
    }
}

#[test]
fn a_port_or_a_path_that_is_taken_is_said_and_no_arbiter_is_left() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let port_address = port.local_addr().unwrap().to_string();
    assert_fails(&place, &port_address, &[&port_address, "another process"]);

    let (address, path) = socket(&place);
    let _other = UnixListener::bind(&path).unwrap();
    assert_fails(&place, &address, &["another process", "metrics.sock"]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    assert_fails(&place, &address, &["no socket", "metrics.sock"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_fails(&place, &format!("unix:{}", place.path("no/folder").display()), &["no/folder"]);

    drop(port);
    let (_arbiter, served) = up(&place, &port_address);
    served.scrape();
}

/// The lines of `missile doctor` about the arbiter.
fn doctor(place: &Place) -> String {
    let report = said(&mut place.missile(&["doctor", "--json"])).json();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "arbiter").unwrap().clone();
    check["detail"].as_str().unwrap().to_owned()
}

#[test]
fn the_socket_of_a_dead_arbiter_is_replaced_and_that_of_a_living_one_goes_with_it() {
    let place = Place::new();
    let (address, path) = socket(&place);
    let (first, served) = up(&place, &address);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    served.scrape();
    first.kill();
    assert!(path.exists() && served.connect().is_err(), "a dead socket is left");

    let (second, served) = up(&place, &address);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    served.scrape();
    assert!(doctor(&place).ends_with(&format!("metrics at {address}")));
    assert_eq!(said(&mut place.missile(&["down"])).code, Some(0));
    assert!(!path.exists());
    assert_eq!(second.finish().code, Some(0));
}

#[test]
fn an_arbiter_without_metrics_is_not_said_to_serve_those_of_a_dead_one() {
    let place = Place::new();
    up(&place, "0").0.kill();
    let _next = place.up(&[]);
    assert!(!doctor(&place).contains("metrics"));
    let again = said(&mut place.missile(&["up", "--metrics", "0"]));
    assert_eq!(again.code, Some(1));
    assert!(again.one_line().contains("without metrics"), "{again:?}");
}

#[test]
fn an_arbiter_in_the_background_serves_what_up_was_told_to() {
    let place = Place::new();
    let run = |arguments: &[&str]| said(place.missile(arguments).current_dir(place.path("run")));
    let started = run(&["up", "--metrics", "unix:m.sock"]);
    assert_eq!((started.code, started.stderr.as_str()), (Some(0), ""), "{started:?}");
    let served = Served::said_in(&started.stdout);
    // The folder of the region is a link to one in the memory.
    let run_folder = place.path("run").canonicalize().unwrap();
    assert_eq!(served.0, format!("unix:{}", run_folder.join("m.sock").display()));
    assert_agree(&served.scrape(), &place.top().unwrap());
    for (arguments, part) in [(&["up", "--metrics", "0"][..], "goes on serving metrics at unix:"), (&["up"], "already")]
    {
        let again = run(arguments);
        assert_eq!(again.code, Some(1));
        assert!(again.one_line().contains(part) && again.one_line().contains("missile down"), "{again:?}");
    }
    served.scrape();
    assert_eq!(run(&["down"]).code, Some(0));
    let left: Vec<_> = fs::read_dir(place.path("run/missile")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["region.log"]);
    assert!(!place.path("run/m.sock").exists());

    let started = run(&["up", "--metrics", "0"]);
    Served::said_in(&started.stdout).scrape();
    assert_eq!(run(&["down"]).code, Some(0));
}

#[test]
fn what_is_no_request_for_metrics_is_refused() {
    let place = Place::new();
    let (_arbiter, served) = up(&place, "0");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "405"),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("\0\0\0\0", "400"),
    ] {
        let answer = served.answer_to(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
    let head = served.answer_to("HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn slow_and_garbled_clients_do_not_keep_a_good_one_waiting() {
    let place = Place::new();
    for address in ["0", &socket(&place).0] {
        let (_arbiter, served) = up(&place, address);
        let _silent: Vec<_> = (0..40).map(|_| served.connect().unwrap()).collect();
        let mut slow = served.connect().unwrap();
        slow.write_all(b"GET /metr").unwrap();
        let mut deaf = served.connect().unwrap();
        deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let flood = std::thread::spawn({
            let served = served.clone();
            move || {
                let mut stream = served.connect().unwrap();
                // Cut off, sooner or later.
                (0..256).try_for_each(|_| stream.write_all(&[b'x'; 1 << 16])).is_err()
            }
        });
        // Each of the silent is let go after five seconds: in turn with them, a scrape would take longer than it may.
        for _ in 0..20 {
            served.scrape();
        }
        assert!(flood.join().unwrap(), "16 MiB of nonsense were taken");
        served.scrape();
        assert_eq!(said(&mut place.missile(&["down"])).code, Some(0));
    }
}

#[test]
fn a_client_that_says_nothing_or_a_letter_now_and_then_is_let_go() {
    let place = Place::new();
    let (_arbiter, served) = up(&place, "0");
    let (mut silent, mut slow) = (served.connect().unwrap(), served.connect().unwrap());
    let asked = Instant::now();
    while slow.write_all(b"G").is_ok() {
        assert!(asked.elapsed() < LONG, "it is listened to for ever");
        sleep(Duration::from_millis(100));
    }
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn a_silent_client_does_not_keep_the_arbiter_from_ending() {
    // It would for as long as the server is patient. A busy machine may make the arbiter as late now and then.
    const PATIENCE: Duration = Duration::from_secs(5);
    let ends_before = || {
        let place = Place::new();
        let (arbiter, served) = up(&place, "0");
        served.scrape();
        let silent = [served.connect().unwrap(), served.connect().unwrap()];
        let asked = Instant::now();
        assert_eq!(said(&mut place.missile(&["down"])).code, Some(0));
        assert_eq!(arbiter.finish().code, Some(0));
        drop(silent);
        asked.elapsed() < PATIENCE
    };
    assert!((0..5).any(|_| ends_before()));
}

#[test]
fn metrics_stay_whole_while_tenants_come_and_die() {
    let place = Place::with_table();
    let (_arbiter, served) = up(&place, "0");
    for round in 0..6u64 {
        let flags = ["--class", "be", "--color", "off"];
        let victims: Vec<Held> = (0..3)
            .map(|_| Held::start(&mut place.tenant(&flags, "copier", &["bulk", "1M", "--seconds", "60"])))
            .collect();
        let asked = Instant::now();
        while served.scrape().labelled("missile_tenant_copied_bytes_total", &[("direction", "h2d")]).len() < 3 {
            assert!(asked.elapsed() < LONG, "the tenants show up");
        }
        sleep(Duration::from_micros(round * 137));
        for victim in victims {
            victim.kill();
            served.scrape();
        }
    }
    place.wait_for("empty slots", |top| top["tenants"].as_array().unwrap().is_empty());
    let top = top_at_rest(&place);
    assert_agree(&served.scrape(), &top);
}

/// How often the thread that serves metrics was awake.
fn wakes(arbiter: &Held) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", arbiter.id())).unwrap();
    let is_it = |task: &Path| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "missile-metrics\n");
    let task = tasks.map(|task| task.unwrap().path()).find(|task| is_it(task)).expect("the thread");
    let status = fs::read_to_string(task.join("status")).unwrap();
    let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a count");
    switches.trim().parse().unwrap()
}

#[test]
fn metrics_cost_nothing_while_nobody_asks() {
    let place = Place::new();
    let (arbiter, served) = up(&place, "0");
    served.scrape();
    // It may not have come to rest yet.
    let sleeps_for_a_second = || {
        let before = wakes(&arbiter);
        sleep(Duration::from_secs(1));
        wakes(&arbiter) == before
    };
    assert!((0..10).any(|_| sleeps_for_a_second()));
}
