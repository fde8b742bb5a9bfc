//! A directory that is written as kubelet writes ConfigMaps and Secrets.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A mounted volume. Files are links to `..data/NAME`; `..data` is a link to the directory of one generation. A write
/// makes a new generation, renames a link over `..data`, adds and removes links, and removes the old generation: no
/// file is ever written in place, and all change at once.
#[derive(Debug)]
pub struct Volume {
    root: PathBuf,
    generation: u32,
}

impl Volume {
    /// A volume at this path, with these files.
    pub fn mount(root: impl Into<PathBuf>, files: &[(&str, &str)]) -> Volume {
        let mut volume = Volume { root: root.into(), generation: 0 };
        must(&volume.root, fs::create_dir_all(&volume.root));
        volume.write(files);
        volume
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Replaces all files by these.
    pub fn write(&mut self, files: &[(&str, &str)]) {
        self.generation += 1;
        let name = format!("..2026_11_23_00_00_00.{:010}", self.generation);
        let (new, data) = (self.root.join(&name), self.root.join("..data"));
        let old = fs::read_link(&data).ok();
        must(&new, fs::create_dir(&new));
        for (file, text) in files {
            must(&new.join(file), fs::write(new.join(file), text));
        }
        let staged = self.root.join("..data_tmp");
        must(&staged, symlink(&name, &staged));
        must(&data, fs::rename(&staged, &data));
        for (file, _) in files {
            let link = self.file(file);
            if fs::symlink_metadata(&link).is_err() {
                must(&link, symlink(Path::new("..data").join(file), &link));
            }
        }
        self.remove_links_besides(files);
        if let Some(old) = old {
            let old = self.root.join(old);
            must(&old, fs::remove_dir_all(&old));
        }
    }

    fn remove_links_besides(&self, files: &[(&str, &str)]) {
        for entry in must(&self.root, fs::read_dir(&self.root)).flatten() {
            let name = entry.file_name();
            let kept = files.iter().any(|(file, _)| name == *file);
            if !kept && !name.to_string_lossy().starts_with("..") {
                must(&entry.path(), fs::remove_file(entry.path()));
            }
        }
    }
}

fn must<T>(path: &Path, result: std::io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(e) => panic!("{}: {e}", path.display()),
    }
}
