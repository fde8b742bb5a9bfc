//! What is to be said of certificates; nothing while they are valid for long.

use super::blank;
use crate::admin::api::{CertificateStatus, CertificateView, Condition, Verdict};
use crate::admin::words;
use crate::reliability::verdict::Cause;

/// Characters of a subject or a file that are told.
const CHARS_MAX: usize = 120;
/// Characters of what is wrong with a file.
const ERROR_CHARS_MAX: usize = 240;

/// Worst first within each holder.
pub(in crate::admin) fn of_certificates(all: &[CertificateStatus]) -> Vec<Verdict> {
    let mut said: Vec<(Condition, String)> = Vec::new();
    // Holders that share their files say the same of themselves, and it is said once.
    let mut say = |condition: Condition, text: String| {
        if !said.iter().any(|(_, known)| *known == text) {
            said.push((condition, text));
        }
    };
    for status in all {
        let holder = status.holder();
        if let Some(presented) = &status.presented {
            // Without a valid certificate no handshake succeeds any more.
            expiry(&format!("certificate of {holder}"), presented, Condition::Failing, &mut say);
        }
        if let Some(believed) = &status.believed {
            let what = format!("authority that {holder} believes");
            expiry(&what, believed, Condition::Degraded, &mut say);
        }
        if let Some(error) = &status.error {
            let error = words::plain(error, ERROR_CHARS_MAX);
            say(
                Condition::Degraded,
                format!("New certificate files of {holder} cannot be used, the last good ones stay in use: {error}."),
            );
        }
    }
    said.into_iter().map(|(condition, text)| verdict(condition, text)).collect()
}

fn expiry(what: &str, view: &CertificateView, expired: Condition, say: &mut impl FnMut(Condition, String)) {
    let left = words::whole(view.expires_in_seconds.unsigned_abs());
    let (subject, file) = (words::plain(&view.subject, CHARS_MAX), words::plain(&view.file, CHARS_MAX));
    let whose = format!("({subject}, in {file})");
    match view.validity.as_str() {
        "expired" => say(
            expired,
            format!("The {what} expired {left} ago {whose}: new connections fail. Renew it; no restart is needed."),
        ),
        "expiring" => say(
            Condition::Degraded,
            format!("The {what} expires in {left} {whose}: whoever renews it has not done so."),
        ),
        _ => {}
    }
}

fn verdict(condition: Condition, text: String) -> Verdict {
    let mut verdict = blank(None, condition, text);
    verdict.cause = Some(Cause::Tls.token().to_owned());
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(validity: &str, expires_in_seconds: i64) -> CertificateStatus {
        let view = CertificateView {
            subject: "spiffe://shop.example/ns/shop/sa/web".to_owned(),
            file: "/etc/outrigger-tls/tls.crt".to_owned(),
            not_after: "2026-11-23T15:00:00Z".to_owned(),
            expires_in_seconds,
            lifetime_seconds: 7_776_000,
            fingerprint: "ab".to_owned(),
            validity: validity.to_owned(),
        };
        CertificateStatus {
            direction: "inbound".to_owned(),
            upstream: "app".to_owned(),
            presented: Some(view),
            believed: None,
            error: None,
        }
    }

    fn told(all: &[CertificateStatus]) -> Vec<(Condition, String)> {
        of_certificates(all).into_iter().map(|verdict| (verdict.condition, verdict.text)).collect()
    }

    #[test]
    fn a_certificate_that_expires_soon_or_has_expired_is_told_with_its_holder_and_its_file() {
        assert_eq!(told(&[of("valid", 5_000_000), of("due", 900_000)]), []);
        let (condition, text) = told(&[of("expiring", 3 * 3_600)]).remove(0);
        assert_eq!(condition, Condition::Degraded);
        assert!(text.starts_with("The certificate of inbound expires in 3 h (spiffe://shop"), "{text}");
        let (condition, text) = told(&[of("expired", -60)]).remove(0);
        assert_eq!(condition, Condition::Failing);
        assert!(text.contains("expired 1 min ago") && text.contains("/etc/outrigger-tls/tls.crt"), "{text}");
    }

    #[test]
    fn files_that_cannot_be_used_are_told_and_the_same_thing_once() {
        let mut broken = of("valid", 5_000_000);
        broken.error = Some("/tls.crt is empty".to_owned());
        let all = told(&[broken.clone(), broken]);
        assert_eq!(all.len(), 1);
        assert!(all[0].1.ends_with("stay in use: /tls.crt is empty."), "{all:?}");
    }
}
