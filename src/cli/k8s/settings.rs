//! What is injected: the flags, and above them what a workload says about itself.

use clap::Args;

use super::tree::Node;

/// Begins every annotation that this program reads.
const PREFIX: &str = "outrigger.dev/";

/// As flags.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of the sidecar [annotation: outrigger.dev/image]
    #[arg(long, value_name = "IMAGE", default_value = concat!("outrigger:", env!("CARGO_PKG_VERSION")))]
    pub image: String,

    /// ConfigMap with the key policy.yaml [annotation: outrigger.dev/policy-configmap]
    #[arg(long, value_name = "NAME", default_value = "outrigger-policy", value_parser = object_name)]
    pub policy_configmap: String,

    /// Secret with certificates, mounted at /etc/outrigger-tls [annotation: outrigger.dev/tls-secret]
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    pub tls_secret: Option<String>,

    /// Where history, keys and dead letters are kept, at /var/lib/outrigger: pvc:NAME, emptyDir or none
    /// [annotation: outrigger.dev/state]
    #[arg(long, value_name = "WHERE", default_value = "none", value_parser = state)]
    pub state: State,

    /// Names the port of the policy's `inbound` as outrigger-in, for the Service's targetPort
    /// [annotation: outrigger.dev/inbound]
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "4401", value_parser = port)]
    pub inbound: Option<u16>,

    /// As an ordinary container, for clusters older than 1.29
    #[arg(long)]
    pub plain: bool,
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nowhere.
    None,
    /// In a directory that dies with the Pod.
    EmptyDir,
    /// On the volume of this claim.
    Claim(String),
}

fn state(text: &str) -> Result<State, String> {
    match text.split_once(':') {
        None if text == "none" => Ok(State::None),
        None if text == "emptyDir" => Ok(State::EmptyDir),
        Some(("pvc", name)) => object_name(name).map(State::Claim),
        _ => Err("write pvc:NAME, emptyDir or none".to_owned()),
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| "write a port, such as 4401".to_owned())
}

/// As Kubernetes has names of objects.
fn object_name(text: &str) -> Result<String, String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inside = text.chars().all(|c| letter(c) || matches!(c, '-' | '.'));
    let ends = text.starts_with(letter) && text.ends_with(letter);
    if inside && ends && text.len() <= 253 {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no name of an object: lower-case letters, digits, `-` and `.`"))
}

impl Settings {
    /// These settings, changed by annotations; later maps win.
    ///
    /// # Errors
    /// A sentence about the annotation at the given node.
    pub(super) fn annotated<'n>(&self, maps: &[&'n Node]) -> Result<Settings, (&'n Node, String)> {
        let mut settings = self.clone();
        for entry in maps.iter().flat_map(|map| map.entries()) {
            let Some(name) = entry.key.text().and_then(|key| key.strip_prefix(PREFIX)) else { continue };
            let refused = |why: String| (&entry.value, format!("{PREFIX}{name}: {why}"));
            let value = entry.value.text().ok_or_else(|| refused("write it as text".to_owned()))?;
            match name {
                // Who says `disabled` does not come here.
                "inject" if value == "enabled" => {}
                "inject" => return Err(refused("write enabled or disabled".to_owned())),
                "image" => settings.image = value.to_owned(),
                "policy-configmap" => settings.policy_configmap = object_name(value).map_err(refused)?,
                "tls-secret" => settings.tls_secret = Some(object_name(value).map_err(refused)?),
                "state" => settings.state = state(value).map_err(refused)?,
                "inbound" => settings.inbound = Some(port(value).map_err(refused)?),
                "injected" | "sidecar" => {}
                _ => {
                    let known = "inject, image, policy-configmap, tls-secret, state and inbound";
                    return Err(refused(format!("there is no such annotation; there are {known}")));
                }
            }
        }
        Ok(settings)
    }
}
