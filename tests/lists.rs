//! Tables in the documentation that are made from lists in the code: `UPDATE_DOCS=1 cargo test --test lists` writes them
//! anew.

use observe::{ArbiterState, BusState, Described, Kind, MapState, Metric, TenantState};
use settings::VARIABLES;
use std::fs;
use std::path::Path;

/// A line of a table in Markdown. Bars within a cell would end it.
fn row<const N: usize>(cells: [&str; N]) -> String {
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// The part of a page between the markers of this name is this text, or becomes it if that is wanted.
#[track_caller]
fn assert_has(page: &str, name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let whole = fs::read_to_string(&path).unwrap();
    let [begin, end] = ["begin", "end"].map(|mark| format!("<!-- {mark} {name}: made by tests/lists.rs -->\n"));
    let (before, rest) = whole.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} has no {end}"));
    if found != text && std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [before, &begin, text, &end, after].concat()).unwrap();
        return;
    }
    assert_eq!(found, text, "{page} is behind the code: run `UPDATE_DOCS=1 cargo test --test lists`");
}

#[test]
fn the_readme_has_the_variables() {
    let mut table = row(["variable", "values", "default", "meaning", "option of `run`"]);
    table += &row(["---"; 5]);
    for variable in VARIABLES {
        let option = variable.option.map_or_else(String::new, |option| format!("`--{}`", option.name));
        table += &row([&format!("`{}`", variable.name), variable.values, variable.default, variable.meaning, &option]);
    }
    assert_has("README.md", "variables", &table);
}

#[test]
fn the_page_about_metrics_has_the_figures() {
    let mut table = row(["in `top --once --json`", "unit", "metric", "kind", "label", "meaning"]);
    table += &row(["---"; 6]);
    table += &[figures_of::<ArbiterState>(), figures_of::<BusState>(), figures_of::<MapState>()].concat();
    table += &figures_of::<TenantState>();
    assert_has("docs/metrics.md", "figures", &table);
}

fn figures_of<T: Described>() -> String {
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let rows = T::FIGURES.iter().map(|figure| {
        let metric = figure.metric.and_then(|metric| metric.name(figure.unit)).unwrap_or_default();
        let label = figure.metric.and_then(Metric::label).unwrap_or_default();
        let kind = match figure.metric {
            Some(Metric::Identity(_)) => "label of each",
            Some(Metric::Info(..)) => "info",
            Some(Metric::Samples { kind: Kind::Gauge, .. }) => "gauge",
            Some(Metric::Samples { kind: Kind::Counter, .. }) => "counter",
            None => "",
        };
        let key = code(&format!("{}.{}", T::PART, figure.key));
        row([&key, figure.unit.name(), &code(&metric), kind, &code(label), figure.help])
    });
    rows.collect()
}
