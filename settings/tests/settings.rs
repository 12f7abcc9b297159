//! Settings as an operator writes them.

use region::Class;
use settings::{ColorChoice, CopyChoice, INTERNAL, Log, LogLevel, Settings, VARIABLES};
use std::ffi::OsString;
use std::path::PathBuf;
use units::Bytes;

fn read(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
    let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
    let (settings, problems) = Settings::read(&get);
    (settings, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let (settings, problems) = read(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
    assert!(problems.is_empty());
    assert_eq!((settings.class, settings.weight, settings.color), (Class::Be, 1024, ColorChoice::Auto));
    assert_eq!((settings.color_min, settings.color_max, settings.copies), (Bytes::mib(2), None, CopyChoice::On));
    assert_eq!((settings.strict, settings.disable), (false, false));
    assert_eq!(settings.log, Log { level: LogLevel::Warn, file: None });
    assert_eq!(settings.region, PathBuf::from("/run/user/7/missile/region"));
}

#[test]
fn every_variable_is_read() {
    let (settings, problems) = read(&[
        ("MISSILE_CLASS", "ls"),
        ("MISSILE_WEIGHT", "10000"),
        ("MISSILE_COLOR", "1"),
        ("MISSILE_COLOR_MIN", "64K"),
        ("MISSILE_COLOR_MAX", "8G"),
        ("MISSILE_COPIES", "gate"),
        ("MISSILE_TABLE", "/t"),
        ("MISSILE_REGION", "/r"),
        ("MISSILE_STRICT", "1"),
        ("MISSILE_DISABLE", "1"),
        ("MISSILE_LOG", "debug:/var/log/x y"),
    ]);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!((settings.class, settings.weight, settings.color), (Class::Ls, 10_000, ColorChoice::Number(1)));
    assert_eq!((settings.color_min, settings.color_max), (Bytes::kib(64), Some(Bytes::gib(8))));
    assert_eq!(settings.copies, CopyChoice::Gate);
    assert_eq!((settings.table, settings.region), (Some("/t".into()), "/r".into()));
    assert_eq!((settings.strict, settings.disable), (true, true));
    assert_eq!(settings.log, Log { level: LogLevel::Debug, file: Some("/var/log/x y".into()) });
}

#[test]
fn a_bad_value_names_itself_and_leaves_the_default() {
    for (name, bad) in [
        ("MISSILE_CLASS", "LS"),
        ("MISSILE_WEIGHT", "0"),
        ("MISSILE_WEIGHT", "10001"),
        ("MISSILE_COLOR", "-1"),
        ("MISSILE_COLOR_MIN", "2 MB"),
        ("MISSILE_COPIES", "yes"),
        ("MISSILE_STRICT", "true"),
        ("MISSILE_DISABLE", "2"),
        ("MISSILE_LOG", "loud"),
    ] {
        let (settings, problems) = read(&[(name, bad)]);
        assert_eq!(problems.len(), 1, "{name}={bad}");
        assert!(problems[0].contains(name) && problems[0].contains(bad), "{}", problems[0]);
        assert_eq!(settings, read(&[]).0, "{name}={bad}");
    }
}

#[test]
fn the_classes_get_different_colors() {
    for colors in [2, 4, 12] {
        for choice in [ColorChoice::Auto, ColorChoice::On] {
            let [ls, be] = [Class::Ls, Class::Be].map(|class| choice.resolve(class, colors));
            assert!(ls.is_some() && be.is_some() && ls != be);
        }
    }
    assert_eq!(ColorChoice::Auto.resolve(Class::Ls, 1), None, "one colour separates nobody");
    assert_eq!(ColorChoice::Number(2).resolve(Class::Ls, 2), None);
}

#[test]
fn the_lists_have_each_name_once() {
    let (tenants, internal) = (VARIABLES.iter().map(|it| it.name), INTERNAL.iter().map(|it| it.name));
    let mut names: Vec<_> = tenants.chain(internal).collect();
    assert!(names.iter().all(|name| name.starts_with("MISSILE_")), "{names:?}");
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_default_that_could_be_set_is_the_one_that_holds() {
    let in_words = ["MISSILE_COLOR_MAX", "MISSILE_SLO", "MISSILE_TABLE", "MISSILE_REGION"];
    for variable in VARIABLES.iter().filter(|variable| !in_words.contains(&variable.name)) {
        assert_eq!(read(&[(variable.name, variable.default)]), (read(&[]).0, Vec::new()), "{variable:?}");
    }
}
