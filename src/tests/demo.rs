use std::process::Command;

use crate::stage::OUTRIGGER;

