//! The folder of a run: `run.json`, `report.html`, `summary.txt`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::results::{FORMAT, Run};

/// Largest `run.json` that is read back.
const RUN_BYTES_MAX: u64 = 256 << 20;

/// Where a run is written.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it. An earlier run is not written over.
    ///
    /// # Errors
    /// It cannot be made, or holds a run.
    pub fn create(path: &Path) -> Result<Folder, String> {
        let folder = Folder { path: path.to_path_buf() };
        if folder.run().exists() {
            return Err(format!("{} holds a run already; name another folder: --out DIR", path.display()));
        }
        fs::create_dir_all(path).map_err(|e| format!("{}: {e}; name another folder: --out DIR", path.display()))?;
        Ok(folder)
    }

    /// The folder's name, which is the run's.
    pub fn name(&self) -> String {
        let absolute = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        absolute.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    fn run(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// The page.
    pub fn page(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Writes the numbers. The file is whole at any time.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_run(&self, run: &Run) -> Result<(), String> {
        let text = serde_json::to_string_pretty(run).map_err(|e| format!("run.json: {e}"))?;
        write(&self.run(), text.as_bytes())
    }

    /// Writes page and table; `print` writes the latter.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_reports(
        &self,
        run: &Run,
        page: String,
        print: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), String> {
        self.write_run(run)?;
        write(&self.page(), page.as_bytes())?;
        let mut summary = Vec::new();
        print(&mut summary).map_err(|e| format!("summary.txt: {e}"))?;
        write(&self.path.join("summary.txt"), &summary)
    }
}

/// Reads a run: `run.json`, or the folder that has it.
///
/// # Errors
/// There is none, or it is of another format.
pub fn read(path: &Path) -> Result<Run, String> {
    let file = if path.is_dir() { path.join("run.json") } else { path.to_path_buf() };
    let shown = file.display();
    let size = fs::metadata(&file).map_err(|e| format!("{shown}: {e}; name a run.json or its folder"))?.len();
    if size > RUN_BYTES_MAX {
        return Err(format!("{shown}: {size} bytes are too many for a run"));
    }
    let text = fs::read_to_string(&file).map_err(|e| format!("{shown}: {e}"))?;
    let run: Run = serde_json::from_str(&text).map_err(|e| format!("{shown}: no run of this tool: {e}"))?;
    if run.format != FORMAT {
        return Err(format!("{shown}: format {}; this tool reads format {FORMAT}", run.format));
    }
    Ok(run)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let new = path.with_extension("new");
    fs::write(&new, bytes).and_then(|()| fs::rename(&new, path)).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Environment;

    fn run() -> Run {
        Run {
            format: FORMAT,
            name: "r".to_owned(),
            started: "2026-01-02T03:04:05Z".to_owned(),
            command: "outrigger-bench run".to_owned(),
            seed: 7,
            environment: Environment::default(),
            arms: Vec::new(),
            skipped: Vec::new(),
            scenarios: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_read_back_by_its_folder_or_its_file() {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().join("2026-01-02-r");
        let folder = Folder::create(&path).expect("made");
        assert_eq!(folder.name(), "2026-01-02-r");
        folder.write_run(&run()).expect("written");
        assert_eq!(read(&path).expect("read").seed, 7);
        assert_eq!(read(&path.join("run.json")).expect("read").seed, 7);
        assert!(Folder::create(&path).is_err_and(|said| said.contains("holds a run already")));
    }

    #[test]
    fn what_is_no_run_of_this_format_is_refused() {
        let temporary = tempfile::tempdir().expect("a folder");
        let file = temporary.path().join("run.json");
        assert!(read(&file).is_err_and(|said| said.contains("name a run.json or its folder")));
        fs::write(&file, "{}").expect("written");
        assert!(read(&file).is_err_and(|said| said.contains("no run of this tool")));
        let text = serde_json::to_string(&Run { format: FORMAT + 1, ..run() }).expect("JSON");
        fs::write(&file, text).expect("written");
        assert!(read(&file).is_err_and(|said| said.contains("this tool reads format")));
    }
}
