//! The check of the GPUs that programs see, and of whether several may share one.

use super::case::Case;
use super::driver::{Answer, SeenGpu};
use super::mps;
use super::report::Finding;
use super::witness::NotAsked;

const PROHIBITED: i32 = 2;
const EXCLUSIVE_PROCESS: i32 = 3;

/// The check.
pub fn check(case: &Case) -> Finding {
    findings(&case.driver, mps::control_pipe().is_some(), std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref())
}

fn findings(driver: &Result<Answer, NotAsked>, has_mps: bool, visible: Option<&str>) -> Finding {
    let gpus = match driver {
        Ok(Answer::Started { gpus, .. }) => gpus,
        _ => return Finding::bad("none are seen, as the driver does not start", "mend `driver` first"),
    };
    if gpus.is_empty() {
        return match visible {
            Some(hidden) => Finding::bad(
                format!("the driver shows no GPU, with CUDA_VISIBLE_DEVICES={hidden:?}"),
                "unset CUDA_VISIBLE_DEVICES, or name a GPU that is there",
            ),
            None => Finding::bad("the driver shows no GPU", "see whether `nvidia-smi` lists one"),
        };
    }
    let detail = gpus.iter().enumerate().map(described).collect::<Vec<_>>().join("; ");
    let closed = gpus.iter().position(|gpu| !can_be_shared(gpu, has_mps));
    match closed {
        Some(ordinal) if gpus[ordinal].compute_mode == Some(EXCLUSIVE_PROCESS) => Finding::bad(
            format!("{detail}; without MPS only one program at a time"),
            format!("`missile up --mps`, or let several in: `nvidia-smi -i {} -c DEFAULT`", gpus[ordinal].uuid),
        ),
        Some(ordinal) => Finding::bad(detail, format!("`nvidia-smi -i {} -c DEFAULT`", gpus[ordinal].uuid)),
        None => Finding::good(detail),
    }
}

fn can_be_shared(gpu: &SeenGpu, has_mps: bool) -> bool {
    match gpu.compute_mode {
        Some(PROHIBITED) => false,
        Some(EXCLUSIVE_PROCESS) => has_mps,
        _ => true,
    }
}

fn described((ordinal, gpu): (usize, &SeenGpu)) -> String {
    let mode = match gpu.compute_mode {
        Some(0) | None => "",
        Some(PROHIBITED) => ", compute mode: prohibited",
        Some(EXCLUSIVE_PROCESS) => ", compute mode: exclusive process",
        Some(_) => ", compute mode: not known to Missile",
    };
    format!("{ordinal}: {} ({}){mode}", gpu.name, gpu.uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(modes: &[i32]) -> Result<Answer, NotAsked> {
        let gpu = |&mode| SeenGpu { name: "G".into(), uuid: "GPU-1".into(), compute_mode: Some(mode) };
        Ok(Answer::Started { library: String::new(), gpus: modes.iter().map(gpu).collect() })
    }

    #[test]
    fn a_gpu_that_cannot_be_shared_is_not_ok() {
        assert!(findings(&started(&[0, 0]), false, None).ok);
        assert!(!findings(&started(&[0, PROHIBITED]), true, None).ok);
        assert!(findings(&started(&[EXCLUSIVE_PROCESS]), true, None).ok);
        let alone = findings(&started(&[EXCLUSIVE_PROCESS]), false, None);
        assert!(alone.fix.is_some_and(|fix| fix.contains("--mps")));
    }

    #[test]
    fn hidden_gpus_are_explained() {
        let finding = findings(&started(&[]), false, Some("7"));
        assert!(!finding.ok && finding.detail.contains("CUDA_VISIBLE_DEVICES=\"7\""), "{finding:?}");
    }
}
