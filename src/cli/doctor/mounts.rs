//! What `/proc/self/mountinfo` says about where a file lies.

use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// What of its file system is mounted: for a volume of a Pod, the kubelet's directory.
    pub root: String,
    pub point: PathBuf,
    pub kind: String,
}

/// How long what lies there lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// As long as a disk or a claim.
    Disk,
    /// Until the Pod is deleted.
    Pod,
    /// Until the container restarts, or the machine does.
    Memory,
    /// Until the container restarts.
    Container,
}

impl Lifetime {
    /// `None` = it is kept.
    pub fn lost_with(self) -> Option<&'static str> {
        match self {
            Lifetime::Disk => None,
            Lifetime::Pod => Some("an emptyDir: it is deleted with the Pod, by every rollout"),
            Lifetime::Memory => Some("memory (tmpfs): it is lost with a restart"),
            Lifetime::Container => Some("the container's own file system: it is lost with a restart"),
        }
    }
}

/// Reads the lines that can be read. See proc(5): `36 35 98:0 /root /point rw … - ext4 /dev/sda rw`.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let (root, point) = (unescape(front.next()?), unescape(front.next()?));
        Some(Mount { root, point: point.into(), kind: back.split(' ').next()?.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// Blanks and the like are written as `\040`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                out.push(char::from(code));
                out.push_str(rest);
            }
            _ => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

/// The mount that holds a path: the longest mount point above it, of several the last, which covers the others.
pub(super) fn holding<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    above.max_by_key(|mount| mount.point.components().count())
}

/// How long a file at this path lives.
pub(super) fn lifetime(mounts: &[Mount], path: &Path) -> Lifetime {
    let Some(mount) = holding(mounts, path) else { return Lifetime::Disk };
    match mount.kind.as_str() {
        _ if mount.root.contains("/kubernetes.io~empty-dir/") => Lifetime::Pod,
        // An emptyDir in memory is a mount of its own, whose root says nothing.
        "tmpfs" | "ramfs" => Lifetime::Memory,
        "overlay" | "aufs" | "fuse.fuse-overlayfs" if mount.point == Path::new("/") => Lifetime::Container,
        _ => Lifetime::Disk,
    }
}

/// Why a file never changes for whoever reads it here, if it does not: a `subPath` mount keeps the file that was there
/// when the container started.
pub(super) fn pinned(mounts: &[Mount], path: &Path) -> Option<String> {
    let mount = holding(mounts, path)?;
    if mount.point == path {
        return Some(format!("{} is a mount of its own", path.display()));
    }
    let by_path = mount.root.contains("/volume-subpaths/");
    by_path.then(|| format!("{} is mounted by subPath", mount.point.display()))
}
