//! The TPCs of a table in words.

use hashprobe::{Table, TpcBits};

/// In one sentence.
pub fn gist(table: &Table) -> String {
    let Some(tpcs) = table.tpcs() else {
        let reason = table.why_no_tpcs().unwrap_or("this table is of before that was looked for");
        return format!("Launches cannot be kept from SMs: {reason}.");
    };
    let (count, each) = (tpcs.all().count(), tpcs.sms_of_each);
    let sides = match tpcs.sides.as_slice() {
        [zero, one] => format!("{} on side 0, {} on side 1", zero.count(), one.count()),
        _ => "their sides are not known".to_owned(),
    };
    format!("A launch can be kept from each of {count} TPCs of {each} SMs: {sides}.")
}

/// All that there is to say.
pub fn whole(table: &Table) -> Vec<String> {
    let mut said = vec![gist(table)];
    match table.tpcs().map(|tpcs| tpcs.sides.as_slice()) {
        Some([zero, one]) => said.extend([bits(" of side 0", zero), bits(" of side 1", one)]),
        Some(sides) => said.extend(sides.iter().map(|all| bits("", all))),
        None => {}
    }
    said
}

fn bits(of: &str, bits: &TpcBits) -> String {
    format!("Their bits{of} in a launch's mask: {bits}.")
}
