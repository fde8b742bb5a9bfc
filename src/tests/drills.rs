//! Real faults, and what an operator reads. A binary of its own: what must be read within ten seconds is not judged
//! beside two hundred other tests.

use std::process::Command;

#[test]
fn the_first_lines_of_status_name_every_drilled_fault_in_time() {
    let mut drills = Command::new(env!("CARGO_BIN_EXE_outrigger-bench"));
    drills.args(["drill", "--outrigger", env!("CARGO_BIN_EXE_outrigger")]);
    let played = drills.output().unwrap_or_else(|e| panic!("cannot run outrigger-bench: {e}"));
    let (told, said) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success(), "{}\n{told}\n{said}", played.status);
    println!("{told}");
}
