//! Whether NVIDIA's MPS is there. Neither is wrong; it decides what tenants can share.

use super::case::Case;
use super::report::Finding;
use std::path::{Path, PathBuf};

/// The folder of the daemon's pipes unless `CUDA_MPS_PIPE_DIRECTORY` says otherwise.
const DEFAULT_FOLDER: &str = "/tmp/nvidia-mps";

/// NVIDIA's variable that confines a client of MPS to a part of the SMs, for as long as it runs.
const PERCENTAGE: &str = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE";

/// The check.
pub fn check(case: &Case) -> Finding {
    confined(std::env::var(PERCENTAGE).ok().as_deref()).unwrap_or_else(|| found(case))
}

/// Complains of a part of the SMs that was chosen by NVIDIA's variable.
fn confined(percentage: Option<&str>) -> Option<Finding> {
    let percentage = percentage.filter(|text| !text.is_empty() && *text != "100")?;
    let detail = format!(
        "{PERCENTAGE}={percentage}: programs started from here have that part of the SMs, also while nobody else works"
    );
    Some(Finding::bad(
        detail,
        format!("unset {PERCENTAGE}: under MPS best-effort launches wait while latency-sensitive work runs"),
    ))
}

fn found(case: &Case) -> Finding {
    Finding::good(match (case.governance.simulated(), control_pipe()) {
        (Some(_), _) => "not needed: the simulated driver runs tenants at the same time".to_owned(),
        (None, Some(pipe)) => format!(
            "its daemon's pipe is {}: tenants run at the same time, and best-effort launches wait for latency-sensitive work",
            pipe.display()
        ),
        (None, None) => "none: the driver gives tenants turns in time; to have them run at the same time, which \
                         Missile then keeps apart, use `missile up --mps`"
            .to_owned(),
    })
}

/// The pipe of the control daemon, where there is one.
pub fn control_pipe() -> Option<PathBuf> {
    let folder = std::env::var_os("CUDA_MPS_PIPE_DIRECTORY").filter(|folder| !folder.is_empty());
    pipe_in(Path::new(&folder.unwrap_or_else(|| DEFAULT_FOLDER.into())))
}

fn pipe_in(folder: &Path) -> Option<PathBuf> {
    Some(folder.join("control")).filter(|pipe| pipe.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_sms_that_the_operator_chose_is_complained_of() {
        assert_eq!(confined(None), None);
        assert_eq!(confined(Some("100")), None);
        let finding = confined(Some("30")).unwrap();
        assert!(!finding.ok && finding.detail.contains("=30"), "{finding:?}");
    }

    #[test]
    fn a_folder_without_the_pipe_is_no_daemon() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pipe_in(folder.path()), None);
        std::fs::write(folder.path().join("control"), "").unwrap();
        assert_eq!(pipe_in(folder.path()), Some(folder.path().join("control")));
    }
}
