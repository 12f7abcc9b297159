//! The check of other preloaded libraries.

use super::case::Case;
use super::report::Finding;
use crate::libraries::{Libraries, SHIM};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const SYSTEM_WIDE: &str = "/etc/ld.so.preload";

/// The check.
pub fn check(case: &Case) -> Finding {
    let ours = Libraries::of_this_process().find(SHIM).ok();
    let own = case.governance.get("LD_PRELOAD").unwrap_or_default();
    findings(&own, &fs::read(SYSTEM_WIDE), ours.as_deref())
}

fn findings(own: &OsStr, system_wide: &io::Result<Vec<u8>>, ours: Option<&Path>) -> Finding {
    let mut said = Vec::new();
    let mut bad = Vec::new();
    let mut look = |list: &str, entries: Vec<PathBuf>| {
        for entry in entries {
            match kind_of(&entry, ours) {
                Kind::Ours => said.push(format!("{SHIM} is in {list} already")),
                Kind::Theirs => said.push(format!("{list} has {}", entry.display())),
                Kind::OtherBuild => bad.push((
                    format!("{list} has {}, which is another {SHIM} than `missile run` preloads", entry.display()),
                    format!("take it out of {list}: `missile run` adds its own"),
                )),
                Kind::Missing => bad.push((
                    format!("{list} has {}, which does not exist", entry.display()),
                    format!("take it out of {list}"),
                )),
            }
        }
    };
    look("LD_PRELOAD", split(own.as_bytes()));
    match system_wide {
        Ok(text) => look(SYSTEM_WIDE, split(&without_comments(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => bad.push((
            format!("{SYSTEM_WIDE} cannot be read: {error}"),
            format!("make it readable (`chmod a+r {SYSTEM_WIDE}`), or see what keeps programs from it"),
        )),
    }
    match bad.first() {
        None if said.is_empty() => Finding::good("nothing else is preloaded"),
        None => Finding::good(said.join("; ")),
        Some((_, fix)) => {
            let what: Vec<_> = bad.iter().map(|(what, _)| what.as_str()).collect();
            Finding::bad(what.join("; "), fix)
        }
    }
}

enum Kind {
    /// The library that `missile run` preloads; twice the same file is loaded once.
    Ours,
    /// A library of the same name in another file: both would be loaded, and each would govern.
    OtherBuild,
    /// Nothing.
    Missing,
    /// Somebody else's.
    Theirs,
}

fn kind_of(entry: &Path, ours: Option<&Path>) -> Kind {
    let bytes = entry.as_os_str().as_bytes();
    // A bare name is searched for, and `$LIB` and the like expanded, by the dynamic linker.
    let is_path = bytes.contains(&b'/') && !bytes.contains(&b'$');
    let file = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    match file(entry) {
        None if is_path => Kind::Missing,
        found if ours.is_some_and(|ours| found.is_some() && file(ours) == found) => Kind::Ours,
        _ if entry.file_name() == Some(OsStr::new(SHIM)) => Kind::OtherBuild,
        _ => Kind::Theirs,
    }
}

/// As ld.so(8) splits it: at spaces and colons; the file at white space as well.
fn split(list: &[u8]) -> Vec<PathBuf> {
    let entries = list.split(|byte| byte.is_ascii_whitespace() || *byte == b':').filter(|entry| !entry.is_empty());
    entries.map(|entry| PathBuf::from(OsStr::from_bytes(entry))).collect()
}

fn without_comments(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|&byte| byte == b'\n').map(|line| line.split(|&byte| byte == b'#').next().unwrap_or(line));
    lines.collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[test]
    fn only_what_does_harm_is_not_ok() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let (ours, other, theirs) = (path("libmissile.so"), path("old/libmissile.so"), path("theirs.so"));
        let look = |own: &[&Path]| {
            let own = own.iter().map(|entry| entry.as_os_str()).collect::<Vec<_>>().join(OsStr::new(":"));
            findings(&own, &none(), Some(&ours))
        };
        assert!(look(&[]).ok);
        let good = look(&[&ours, &theirs, Path::new("libsearched.so"), Path::new("/$LIB/x.so")]);
        assert!(good.ok && good.detail.contains("already") && good.detail.contains("theirs.so"), "{good:?}");
        let mixed = look(&[&theirs, &other]);
        assert!(!mixed.ok && mixed.detail.contains("old/libmissile.so"), "{mixed:?}");
        let missing = look(&[Path::new("/no/such.so")]);
        assert!(!missing.ok && missing.detail.contains("/no/such.so"), "{missing:?}");
    }

    #[test]
    fn the_systems_list_counts_too() {
        let look = |list: io::Result<Vec<u8>>| findings(OsStr::new(""), &list, None);
        assert!(look(Ok(b"# only /a/comment.so\n\n".to_vec())).ok);
        assert!(look(Ok(b"/no/such.so # gone\n".to_vec())).detail.contains("/etc/ld.so.preload has /no/such.so"));
        assert!(!look(Err(io::ErrorKind::PermissionDenied.into())).ok);
    }
}
