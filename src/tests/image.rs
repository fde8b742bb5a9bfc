//! The image without a registry: its root runs in namespaces, and an engine makes it of the Dockerfile.

use std::path::Path;
use std::process::{Command, Output};

use crate::stage::executable;

/// What a script of deploy/ says when it cannot do its work on this machine.
const SKIPPED: i32 = 77;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_images_root_runs_read_only_as_nobody_and_follows_a_config_map() {
    let mut proof = Command::new("deploy/chroot-proof.sh");
    // The program of the tests needs its libraries; `make chroot-proof` runs the static one, which needs none.
    let output = proof.current_dir(root()).env("PROGRAM", executable()).output().expect("the script runs");
    match output.status.code() {
        Some(0) => assert!(said(&output).contains("chroot-proof: passed"), "{}", said(&output)),
        Some(SKIPPED) => println!("{}", said(&output)),
        _ => panic!("{}", said(&output)),
    }
}

#[test]
fn an_engine_makes_the_image_of_what_the_build_stage_lays_out() {
    if !Command::new("podman").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no podman");
        return;
    }
    let context = tempfile::tempdir().expect("a directory");
    let image = context.path().join("image");
    let laid = Command::new(root().join("deploy/image-root.sh")).arg(&image).env("PROGRAM", executable()).output();
    let laid = laid.expect("the script runs");
    assert!(laid.status.success(), "{}", said(&laid));
    let podman = |arguments: &[&str]| {
        let output = Command::new("podman").args(arguments).current_dir(root()).output().expect("podman runs");
        assert!(output.status.success(), "podman {arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let name = format!("outrigger-test:{}", std::process::id());
    // The stage that needs a registry is replaced by its result.
    let stage = format!("build={}", context.path().display());
    podman(&["build", "--quiet", "--timestamp", "0", "--build-context", &stage, "--tag", &name, "."]);
    let words = "{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Cmd}}";
    let told = podman(&["inspect", "--format", words, &name]);
    podman(&["rmi", "--force", &name]);
    assert_eq!(told, "65532:65532 [/outrigger] [run --policy /etc/outrigger/policy.yaml]");
}
