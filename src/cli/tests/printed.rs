//! Shell completions and the manual page: made from the words of the command line, and committed. In the program they
//! would take 230 kB, for something that a package installs once.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::cli::args::Cli;

/// Writes the files instead of comparing them.
const WRITE: &str = "OUTRIGGER_WRITE_PRINTED";

fn completion(shell: Shell) -> String {
    let mut text = Vec::new();
    generate(shell, &mut Cli::command(), "outrigger", &mut text);
    String::from_utf8(text).unwrap()
}

/// One page: what concerns all, then every command.
fn manual() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = Vec::new();
    let man = Man::new(root.clone()).date("").source("outrigger").manual("Outrigger");
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    man.render_extra_section(&mut page).unwrap();
    let mut text = examples(page);
    commands(&root, "outrigger", &mut text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// The last part of a page has examples, which keep their lines.
fn examples(page: Vec<u8>) -> String {
    let text = String::from_utf8(page).unwrap();
    match text.split_once(".SH EXTRA\n") {
        Some((before, extra)) => format!("{before}.SH EXAMPLES\n.nf\n{extra}.fi\n"),
        None => text,
    }
}

fn commands(parent: &Command, path: &str, text: &mut String) {
    for command in parent.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{path} {}", command.get_name());
        // What holds for every command is said once.
        let own = command.clone().mut_args(|arg| match arg.is_global_set() || arg.get_id() == "help" {
            true => arg.hide(true),
            false => arg,
        });
        let man = Man::new(own.clone());
        let mut part = Vec::new();
        man.render_synopsis_section(&mut part).unwrap();
        man.render_description_section(&mut part).unwrap();
        if own.get_arguments().any(|arg| !arg.is_hide_set()) {
            man.render_options_section(&mut part).unwrap();
        }
        if command.get_after_help().is_some() {
            man.render_extra_section(&mut part).unwrap();
        }
        // A part of the page, not a page of its own.
        let part = examples(part).replace(".SH ", ".SS ");
        text.push_str(&format!(".SH \"{}\"\n{part}", name.to_uppercase()));
        commands(command, &name, text);
    }
}

fn files() -> [(&'static str, String); 4] {
    [
        ("deploy/completions/outrigger.bash", completion(Shell::Bash)),
        ("deploy/completions/_outrigger", completion(Shell::Zsh)),
        ("deploy/completions/outrigger.fish", completion(Shell::Fish)),
        ("deploy/man/outrigger.1", manual()),
    ]
}

#[test]
fn the_committed_completions_and_manual_are_those_of_this_command_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in files() {
        let path = root.join(name);
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{name} is not what the command line says: run `make printed` and commit it");
    }
}
