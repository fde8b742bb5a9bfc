//! An overload in words: the limit in force, and who is shed.

use crate::reliability::priority::Criticality;
use crate::upstreams::view::UpstreamView;

/// `Some` while a limit that was found is in force, or less important requests give way, and requests are shed.
pub(super) fn told(view: &UpstreamView, since: &str) -> Option<String> {
    let limits = &view.limits;
    let shed = &limits.shed_per_second;
    let rate: f64 = shed.iter().map(|(_, rate)| rate).sum();
    let enforced = limits.found.as_ref().is_some_and(|found| found.mode == "enforce");
    let gives_way =
        limits.shed.iter().any(|shed| shed.mode == "enforce" && matches!(&*shed.reason, "queue-delay" | "displaced"));
    if rate <= 0.0 || !(enforced || gives_way) {
        return None;
    }
    let name = if view.direction == "inbound" { "the app" } else { "it" };
    let rate_told = if rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.1}") };
    Some(format!(
        "{name} is overloaded {since}: the limit is {} in flight, {rate_told} requests/s are shed, {}",
        limits.in_force,
        of_whom(shed, rate)
    ))
}

/// Which classes that hits.
fn of_whom(shed: &[(String, f64)], rate: f64) -> String {
    let of = |wanted: fn(Criticality) -> bool| -> f64 {
        let class = |word: &str| Criticality::parse(word.as_bytes());
        shed.iter().filter(|(word, _)| class(word).is_some_and(wanted)).map(|(_, rate)| rate).sum()
    };
    let critical = of(|class| class >= Criticality::Critical);
    match shed {
        [(only, _)] => format!("all of them {only}"),
        _ if critical == 0.0 => "all of them sheddable".to_owned(),
        _ => format!("{:.0}% of them critical", critical / rate * 100.0),
    }
}
