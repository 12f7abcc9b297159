//! Whether tenants' calls pass the library.

use super::case::Case;
use super::report::Finding;
use crate::ungoverned::Ungoverned;
use observe::{Snapshot, TenantState};

/// The check.
pub fn check(case: &Case) -> Finding {
    match &case.snapshot {
        Ok(snapshot) if snapshot.arbiter.is_some() => findings(snapshot, &case.ungoverned),
        _ => Finding::good("no tenants to ask: no arbiter is running"),
    }
}

fn findings(snapshot: &Snapshot, ungoverned: &[Ungoverned]) -> Finding {
    let bypassed = snapshot.tenants.iter().filter(|tenant| tenant.bypassed > 0).map(described);
    let strangers = ungoverned.iter().map(|Ungoverned { pid, name }| {
        format!("{pid} {name}: uses the GPU with the library preloaded, and is no tenant")
    });
    let bypassed: Vec<String> = bypassed.chain(strangers).collect();
    match (snapshot.tenants.len(), bypassed.as_slice()) {
        (0, []) => Finding::good("no tenants now"),
        (all, []) => Finding::good(format!("no call of {all} {} went past the library", tenants(all))),
        _ => Finding::bad(bypassed.join("; "), "run it with `missile run --deepbind`, or see docs/entry-paths.md"),
    }
}

fn tenants(number: usize) -> &'static str {
    if number == 1 { "tenant" } else { "tenants" }
}

fn described(tenant: &TenantState) -> String {
    let TenantState { pid, name, bypassed, .. } = tenant;
    let calls = if *bypassed == 1 { "call" } else { "calls" };
    let last = tenant.bypassed_by.as_ref().map_or_else(String::new, |function| format!(", last through {function}"));
    format!("{pid} {name}: {bypassed} {calls} past the library{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(pid: u32, bypassed: u64, bypassed_by: Option<&str>) -> TenantState {
        TenantState {
            pid,
            name: "python3".to_owned(),
            class: Some("be"),
            state: "coloured",
            bypassed,
            bypassed_by: bypassed_by.map(str::to_owned),
            ..TenantState::default()
        }
    }

    fn seen(tenants: Vec<TenantState>) -> Finding {
        let maps = observe::MapState { used: 0, budget: 0, guaranteed: 0 };
        findings(&Snapshot { arbiter: None, bus: Vec::new(), maps, tenants }, &[])
    }

    #[test]
    fn processes_that_are_no_tenants_are_named() {
        let maps = observe::MapState { used: 0, budget: 0, guaranteed: 0 };
        let snapshot = Snapshot { arbiter: None, bus: Vec::new(), maps, tenants: Vec::new() };
        let finding = findings(&snapshot, &[Ungoverned { pid: 5, name: "deep".to_owned() }]);
        assert!(!finding.ok && finding.detail.starts_with("5 deep:"), "{}", finding.detail);
    }

    #[test]
    fn tenants_that_are_bypassed_are_named() {
        let finding = seen(vec![tenant(7, 12, Some("cuMemAlloc_v2")), tenant(8, 0, None), tenant(9, 1, None)]);
        assert!(!finding.ok);
        assert_eq!(
            finding.detail,
            "7 python3: 12 calls past the library, last through cuMemAlloc_v2; 9 python3: 1 call past the library"
        );
        assert!(finding.fix.is_some_and(|fix| fix.contains("--deepbind")));
    }

    #[test]
    fn none_bypassed_is_ok() {
        assert!(seen(Vec::new()).ok);
        assert_eq!(seen(vec![tenant(8, 0, None)]).detail, "no call of 1 tenant went past the library");
    }
}
