//! The path of this program.
//!
//! `std::env::current_exe` reads the link `/proc/self/exe`, which some seccomp profiles refuse (`readlink`). The list of
//! mappings has the same path and is an ordinary file.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The absolute path of this program's file.
///
/// Fails with what the kernel said of `/proc/self/exe`, if `/proc/self/maps` cannot be read either.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe().or_else(|error| {
        let maps = fs::read("/proc/self/maps").map_err(|_| io::Error::other(cannot_tell(&error)))?;
        mapped_at(&maps, own_program as fn() -> io::Result<PathBuf> as usize).ok_or(error)
    })
}

fn cannot_tell(error: &io::Error) -> String {
    format!("neither /proc/self/exe ({error}) nor /proc/self/maps can be read")
}

/// The file that is mapped at an address, in the format of proc_pid_maps(5):
/// `START-END PERMISSIONS OFFSET DEVICE INODE   PATH`.
fn mapped_at(maps: &[u8], address: usize) -> Option<PathBuf> {
    maps.split(|&byte| byte == b'\n').find_map(|line| {
        let text = String::from_utf8_lossy(line);
        let (start, end) = text.split_whitespace().next()?.split_once('-')?;
        let [start, end] = [start, end].map(|bound| usize::from_str_radix(bound, 16).ok());
        let path = &line[line.iter().position(|&byte| byte == b'/')?..];
        (start?..end?).contains(&address).then(|| PathBuf::from(OsString::from_vec(unescaped(path))))
    })
}

/// The kernel writes a line feed in a path as `\012`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut rest = path;
    let mut plain = Vec::with_capacity(path.len());
    while let Some((&byte, after)) = rest.split_first() {
        let line_feed = rest.strip_prefix(br"\012");
        plain.push(if line_feed.is_some() { b'\n' } else { byte });
        rest = line_feed.unwrap_or(after);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_mappings_name_the_same_file_as_the_link() {
        let maps = fs::read("/proc/self/maps").unwrap();
        let found = mapped_at(&maps, own_program as fn() -> io::Result<PathBuf> as usize);
        assert_eq!(found, std::env::current_exe().ok());
    }

    #[test]
    fn a_path_may_have_spaces_and_line_feeds() {
        let maps = b"1000-2000 r-xp 00000000 08:01 7    /lib/other.so\n\
                     2000-3000 r-xp 00000000 08:01 8    /opt/a b\\012c/missile\n3000-4000 rw-p 0 00:00 0 \n";
        assert_eq!(mapped_at(maps, 0x2fff).as_deref(), Some(Path::new("/opt/a b\nc/missile")));
        assert_eq!(mapped_at(maps, 0x3000), None);
    }
}
