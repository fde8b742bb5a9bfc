//! Mirror -> scenario.

use super::Scenario;

pub(super) fn scenario(_text: &str, file: &str) -> Result<Scenario, String> {
    Err(format!("{file}: scenarios are not read yet"))
}
