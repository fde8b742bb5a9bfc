//! What the readers of our YAML files have in common: what a file may cost, and tabs.

use serde_saphyr::DuplicateKeyPolicy;

/// What a file may cost to read.
pub(crate) struct Bounds {
    /// Blocks inside blocks.
    pub depth: usize,
    /// Keys, values and blocks together.
    pub nodes: usize,
    /// Anchors, and uses of them.
    pub aliases: usize,
}

impl Bounds {
    /// One document in which no key stands twice, without tags, and of `true` and `false` alone.
    pub fn options(&self) -> serde_saphyr::Options {
        let Bounds { depth, nodes, aliases } = *self;
        serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: depth,
                flow_nesting_limit: depth,
                max_nodes: nodes,
                max_events: nodes * 3,
                max_aliases: aliases,
                max_anchors: aliases,
                max_documents: 2,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: nodes,
                max_replay_stack_depth: depth,
            },
            duplicate_keys: DuplicateKeyPolicy::Error,
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        }
    }
}

/// The column of the first tab in front of a line's text.
pub(crate) fn indenting_tab(line: &str) -> Option<u32> {
    let indentation = &line[..line.len() - line.trim_start().len()];
    let column = indentation.chars().position(|c| c == '\t')?;
    u32::try_from(column + 1).ok()
}
