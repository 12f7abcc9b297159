//! The simulated driver's answers to the call sequences of `tests/gpu/corpus.py`.
//!
//! They are compared with every recording of a real GPU in `data/corpus/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

// The library under test, which cargo builds as `libcuda.so` beside this program as well.
use cuda as _;

/// Answers by sequence and step.
type Answers = BTreeMap<(String, String), String>;

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus")
}

/// The sequence, step and answer of each line that is no comment.
fn rows(text: &str) -> Vec<[String; 3]> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let columns = |line: &str| {
        let columns: Vec<_> = line.split('\t').map(str::to_owned).collect();
        columns.try_into().unwrap_or_else(|_| panic!("not 3 columns: {line}"))
    };
    lines.map(columns).collect()
}

/// The answers that the script notes of the simulated driver.
fn simulated() -> &'static Answers {
    static ANSWERS: OnceLock<Answers> = OnceLock::new();
    ANSWERS.get_or_init(run)
}

fn run() -> Answers {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let program = std::env::current_exe().expect("this program");
    let library = program.with_file_name("libcuda.so");
    std::os::unix::fs::symlink(library, folder.path().join("libcuda.so.1")).expect("a link");
    let (state, file) = (folder.path().join("state"), folder.path().join("answers.tsv"));
    std::fs::create_dir(&state).expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/gpu/corpus.py");
    let run = Command::new("python3")
        .arg(script)
        .arg(&file)
        .env("LD_LIBRARY_PATH", folder.path())
        .env("SIMGPU_STATE", state)
        .env("SIMGPU_GPU", "h200")
        .output()
        .expect("Python 3, with which the sequences are written");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = std::fs::read_to_string(file).expect("the script's answers");
    rows(&text).into_iter().map(|[sequence, step, answer]| ((sequence, step), answer)).collect()
}

/// Steps to which the simulated driver answers otherwise.
fn differences(simulated: &Answers, wanted: impl Iterator<Item = [String; 3]>) -> Vec<String> {
    let mut differences = Vec::new();
    for [sequence, step, wanted] in wanted {
        let name = format!("{sequence}: {step}");
        match simulated.get(&(sequence, step)) {
            Some(answer) if *answer == wanted => {}
            Some(answer) => differences.push(format!("{name}: {answer}, and not {wanted}")),
            None => differences.push(format!("{name}: not among the answers")),
        }
    }
    differences
}

#[test]
fn no_sequence_is_too_much_for_the_simulated_driver() {
    let ended = simulated().iter().filter(|((_, step), _)| step == "failed" || step == "end").collect::<Vec<_>>();
    assert!(ended.is_empty(), "{ended:?}");
}

/// Answers that a real driver was recorded to give, but for a sequence's end by a signal: there the manual leaves open what
/// happens, and the simulated driver refuses the call.
#[test]
fn the_simulated_driver_answers_as_every_recorded_one() {
    let simulated = simulated();
    let files =
        std::fs::read_dir(recordings()).expect("the folder of recordings").map(|entry| entry.expect("a file").path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "tsv")).collect();
    assert!(!files.is_empty(), "there is a recording");
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a recording");
        for head in ["# driver: ", "# gpu: ", "# date: "] {
            assert!(text.lines().any(|line| line.starts_with(head)), "{}: no `{head}`", path.display());
        }
        assert!(!text.contains("(simulated)"), "{}: recorded from the simulated driver", path.display());
        let recorded = rows(&text).into_iter().filter(|[_, _, answer]| !answer.starts_with("signal "));
        let differences = differences(simulated, recorded);
        assert!(differences.is_empty(), "{}:\n{}", path.display(), differences.join("\n"));
    }
}
