//! Whether each GPU has a table that a tenant's memory can be coloured by.

use super::case::Case;
use super::report::Finding;
use crate::known_gpus::KnownGpu;
use crate::tables;
use hashprobe::{Table, TableError};
use settings::{ColorChoice, Settings};
use std::path::{Path, PathBuf};

/// The check.
pub fn check(case: &Case) -> Finding {
    let settings = &case.settings;
    if settings.disable || settings.color == ColorChoice::Off {
        let variable = if settings.disable { "MISSILE_DISABLE=1" } else { "MISSILE_COLOR=off" };
        return Finding::good(format!("none is needed with {variable}"));
    }
    if case.driver_version().is_none() {
        return Finding::bad("not looked for, as the driver's version is not known", "mend `driver` first");
    }
    let data_folder = settings::data_folder(&|name| case.governance.get(name));
    findings(settings, &data_folder, &case.gpus(), &case.sim_flag())
}

fn findings(settings: &Settings, data_folder: &Path, gpus: &[KnownGpu], sim_flag: &str) -> Finding {
    if gpus.is_empty() {
        return Finding::bad("not looked for, as no GPU is known", "mend `driver` and `gpus` first");
    }
    // What `missile run` refuses: above all a table that was named and is of no GPU here.
    if let Err(error) = tables::check(settings, data_folder, gpus) {
        let unset = settings.table.as_ref().map_or("", |_| "; or unset MISSILE_TABLE");
        return Finding::bad(error.to_string(), format!("`missile probe{sim_flag}`{unset}"));
    }
    let found: Vec<_> = gpus.iter().map(|gpu| table_of(settings, data_folder, gpu)).collect();
    let detail: Vec<_> = found.iter().zip(gpus).map(|(found, gpu)| described(found, gpu)).collect();
    let detail = detail.join("; ");
    match found.iter().position(|found| !matches!(found, Ok(Some(_)))) {
        None => Finding::good(detail),
        Some(0) => Finding::bad(detail, format!("`missile probe{sim_flag}`")),
        Some(ordinal) => Finding::bad(detail, format!("`missile probe --gpu {ordinal}`")),
    }
}

/// The table that the arbiter would publish for the GPU: the chosen one if it is of this GPU, else that of the data
/// folder.
fn table_of(settings: &Settings, data_folder: &Path, gpu: &KnownGpu) -> Result<Option<(PathBuf, Table)>, TableError> {
    let chosen = settings.table.clone().filter(|path| Table::load(path).is_ok_and(|t| t.gpu().uuid == gpu.uuid));
    let path = chosen.unwrap_or_else(|| Table::default_path(data_folder, gpu.uuid));
    if !path.exists() {
        return Ok(None);
    }
    let table = Table::load(&path)?;
    table.check_for(&path, gpu.uuid, &gpu.driver)?;
    Ok(Some((path, table)))
}

fn described(found: &Result<Option<(PathBuf, Table)>, TableError>, gpu: &KnownGpu) -> String {
    match found {
        Ok(Some((path, table))) => match table.why_not() {
            // Nothing to mend: this GPU cannot be coloured.
            Some(reason) => format!("{}: one colour only ({reason})", path.display()),
            None if table.color_masks().is_none() => {
                format!("{}: {} colours, by no XOR: memory stays uncoloured", path.display(), table.colors())
            }
            None => format!("{}: {} colours", path.display(), table.colors()),
        },
        Ok(None) => format!("none for {}: its memory stays uncoloured", gpu.uuid),
        Err(error) => error.to_string(),
    }
}
