//! The policy file: refused with a place in the file, or compiled, explained and compared.

use outrigger::policy::compile;
use outrigger::policy::diagnostic::Format;

/// A longer file adds nothing but time.
const BYTES_MAX: usize = 16 * 1024;

/// As `outrigger check` and a reload read it.
pub fn load(data: &[u8]) {
    if data.len() > BYTES_MAX {
        return;
    }
    match compile::load_bytes("policy.yaml", data) {
        Err(findings) => {
            assert!(findings.has_errors(), "a refusal has a reason");
            // YAML ends lines with either.
            let lines = data.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() as u32 + 1;
            for finding in findings.findings() {
                assert!(finding.position.line <= lines + 1, "line {} of {lines}", finding.position.line);
                assert!(!finding.message.is_empty());
            }
            assert!(!findings.render(Format::Human).is_empty());
        }
        Ok(compiled) => {
            let again = compile::load_bytes("policy.yaml", data);
            assert!(again.is_ok(), "the same text is the same policy");
            assert!(!compiled.policy.listeners.is_empty());
            let _ = compiled.warnings.render(Format::Human);
        }
    }
}
