//! The page of the admin listener, read and clicked in a real browser against the real program.
//!
//! Pictures of each state lie in the target directory, as `tmp/page-NAME.png`; the one of the README: see `picture`.

mod browser;
mod hostile;
mod picture;
mod repairing;

use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Hangup, Point, Script};
use outrigger::testing::{Client, Load, Program, Signal, eventually};
use serde_json::json;
use tempfile::TempDir;

use crate::stage::{program, upstream};
use browser::{Browser, REBOUND};

/// Three dependencies behind the program; `payments` keeps dead letters.
struct Shop {
    payments: FaultServer,
    search: FaultServer,
    program: Program,
    inventory: FaultServer,
    policy: String,
    _directory: TempDir,
}

const POLICY: &str = "name: checkout
stores: { embedded: { path: %store } }
upstreams:
  inventory: { url: %inventory, match: { hosts: [inventory.test] }, circuitBreaker: {} }
  payments:
    url: %payments
    match: { hosts: [payments.test] }
    retry: { attempts: 1 }
    circuitBreaker: { failurePercent: 90, minRequests: 200 }
    routes:
    - { name: charge, match: { path: /v1/charges }, deadLetter: {} }
  search: { url: %search, match: { hosts: [search.test] }, retry: {}, circuitBreaker: {} }
";

impl Shop {
    async fn open() -> Shop {
        let (payments, search) = (upstream(soon("paid")).await, upstream(soon("found")).await);
        let (inventory, directory) = (upstream(soon("in stock")).await, tempfile::tempdir().expect("a directory"));
        let store = directory.path().join("outrigger.db").display().to_string();
        let policy = [("store", store), ("inventory", inventory.url()), ("payments", payments.url())]
            .into_iter()
            .chain([("search", search.url())])
            .fold(POLICY.to_owned(), |policy, (name, value)| policy.replace(&format!("%{name}"), &value));
        let program = program(&policy).await;
        Shop { payments, search, program, inventory, policy, _directory: directory }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.program.address("admin"))
    }

    async fn page(&self, width: u32) -> Browser {
        Browser::open(&self.origin(), width).await
    }

    /// Requests to one of the dependencies until the load is stopped.
    fn load(&self, name: &str) -> Load {
        let request = format!("GET /v1/charges HTTP/1.1\r\nHost: {name}.test\r\n\r\n");
        Load::start(self.program.listen(), 2, &request)
    }

    /// An order that ends as a dead letter, if the upstream does not serve it.
    async fn charge(&self, target: &str) {
        let mut client = Client::connect(self.program.listen()).await;
        let body = "{\"order\":7001,\"amount\":\"12.00 EUR\"}";
        let head = format!("POST {target} HTTP/1.1\r\nHost: payments.test\r\nContent-Type: application/json\r\n");
        client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        client.answer("POST").await;
    }

    async fn post(&self, path: &str, fields: &str, body: &str) -> u16 {
        let admin = self.program.address("admin");
        let mut client = Client::connect(admin).await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n{fields}");
        client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        client.answer("POST").await.status
    }
}

/// Answers after a moment: loads then leave the machine to the browser.
fn soon(body: &str) -> Behaviour {
    Behaviour::from(Answer::ok(body.to_owned())).after(Duration::from_millis(10))
}

/// Seven of ten requests get a 503.
fn failing() -> Script {
    let error = Behaviour::from(Answer::status(503)).after(Duration::from_millis(10));
    Script::share(0.7, error, soon("paid"), 7)
}

/// Reads the request to its end, then resets the connection.
fn lost() -> Behaviour {
    Behaviour::hang_up(Hangup::Reset, Point::Body)
}

#[tokio::test]
async fn an_incident_is_told_from_the_verdict_to_the_repair() {
    let shop = Shop::open().await;
    let loads = ["payments", "search", "inventory"].map(|name| shop.load(name));
    eventually("what was before the page is remembered", async || {
        let curves = shop.program.admin("/curves").await;
        let asked = curves["curves"][1]["requests"].as_array().and_then(|steps| steps.last()?.as_u64());
        (curves["curves"][1]["upstream"] == "payments" && asked > Some(0)).then_some(())
    })
    .await;
    let mut page = shop.page(1_400).await;
    page.until_text("#verdict .first", "Nothing is wrong").await;
    page.until_text("#q2", "payments").await;
    page.until("a rate is shown", "Number(document.querySelector('#q2 tbody tr td:nth-child(4)').innerText[0]) > 0")
        .await;

    shop.post("/circuits/search", "x-outrigger-admin: 1\r\n", r#"{"action":"reset","reason":"INC-412: a look"}"#).await;
    shop.payments.set(failing());
    page.until_text("#verdict .first", "payments").await;
    page.until("the failing one is first", "document.querySelector('#q2 tbody tr th').innerText.includes('payments')")
        .await;
    page.until("failures are drawn", "document.querySelector('#q2 .failed').getAttribute('d').length > 0").await;
    page.until_text("#q1 .changes", "INC-412").await;
    shop.payments.set(Script::from(lost()));
    shop.charge("/v1/charges").await;
    shop.payments.set(failing());
    page.until_text("#q4", "needs a decision").await;
    page.until_text("#announce", "payments").await;
    assert!(page.eval("document.title").await.as_str().is_some_and(|title| title.ends_with("checkout")));

    page.click("#q2 tbody tr", "payments").await;
    page.until_text("#q2 .more", &shop.payments.address().to_string()).await;
    page.picture("incident").await;
    for load in loads {
        load.stop().await;
    }
    page.assert_content(&shop.origin()).await;
}

#[tokio::test]
async fn the_page_is_dark_on_wish_fits_narrow_screens_and_is_used_by_keys_alone() {
    const PAPER: &str = "getComputedStyle(document.body).backgroundColor";
    let shop = Shop::open().await;
    shop.charge("/v1/charges").await;
    let mut page = shop.page(1_400).await;
    page.until_text("#q2", "inventory").await;
    assert_eq!(page.eval(PAPER).await, "rgb(255, 255, 255)");
    page.prefer("dark").await;
    page.until("the system's wish", &format!("{PAPER} === 'rgb(16, 21, 28)'")).await;
    page.picture("dark").await;
    page.press("t").await;
    assert_eq!(page.eval(PAPER).await, "rgb(255, 255, 255)");
    page.go(&shop.origin()).await;
    page.until("the reader's own wish is remembered", &format!("{PAPER} === 'rgb(255, 255, 255)'")).await;

    page.until_text("#q2", "inventory").await;
    page.press("?").await;
    page.until_text("#dialog", "the four questions").await;
    page.press("Escape").await;
    page.until("the keys are away", "!document.getElementById('dialog').open").await;
    page.press("2").await;
    assert_eq!(page.eval("document.activeElement.id").await, "q2");
    page.press("j").await;
    page.press("j").await;
    assert_eq!(page.eval("document.activeElement.innerText.trim()").await, "payments");
    page.press("Enter").await;
    page.until_text("#q2 .more", &shop.payments.address().to_string()).await;
    page.press("k").await;
    assert_eq!(page.eval("document.activeElement.innerText.trim()").await, "inventory");
    page.press("/").await;
    page.write("sear").await;
    page.until("one row fits", "document.querySelectorAll('#q2 .row').length === 1").await;
    page.press("Escape").await;
    page.until("all rows again", "document.querySelectorAll('#q2 .row').length === 3").await;
    page.press("/").await;
    page.write("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").await;
    page.press("Enter").await;
    page.until_text("#story", "4bf92f3577b34da6a3ce929d0e0e4736").await;

    page.resize(400, 800).await;
    page.until("nothing sticks out", "document.documentElement.scrollWidth <= 400").await;
    page.picture("narrow").await;
    page.assert_content(&shop.origin()).await;
}

#[tokio::test]
async fn a_circuit_is_held_through_the_dialog_and_not_without_a_reason() {
    let shop = Shop::open().await;
    let mut page = shop.page(1_200).await;
    page.click("#q2 tbody tr", "search").await;
    page.click("#q2 .more button", "Hold open").await;
    page.until_text("#dialog", "Every request is refused at once").await;
    page.picture("dialog").await;
    page.click("#dialog button", "Hold the circuit open").await;
    page.until_text("#dialog", "State a reason").await;
    let circuit = async || shop.program.admin("/upstreams/search").await["circuit"].clone();
    assert!(circuit().await["held"].is_null() && !page.asked.iter().any(|url| url.ends_with("/circuits/search")));

    page.write("INC-412: it answers wrongly").await;
    page.click("#dialog button", "Hold the circuit open").await;
    page.until("the dialog is away", "!document.getElementById('dialog').open").await;
    assert_eq!(circuit().await["held"], "open");
    page.until_text("#q2 .row", "held open").await;
    page.until_text("#verdict .first", "search").await;
    page.until_text("#q1 .changes", "INC-412: it answers wrongly").await;
    page.until_text("#q2 .note", "held open for 10m").await;

    page.click("#q2 .more button", "Reset").await;
    page.write("it answers well again").await;
    page.click("#dialog button", "Reset the circuit").await;
    eventually("the circuit is free", async || circuit().await["held"].is_null().then_some(())).await;
    page.until_text("#verdict .first", "Nothing is wrong").await;
    page.assert_content(&shop.origin()).await;
}

#[tokio::test]
async fn a_proxy_that_hangs_or_has_gone_is_told_in_words_and_the_page_recovers() {
    let mut shop = Shop::open().await;
    let mut page = shop.page(1_200).await;
    page.until_text("#pulse", "live").await;
    shop.program.signal(Signal::Stop);
    page.until_text("#silence", "No answer since").await;
    page.picture("silent").await;
    shop.program.signal(Signal::Continue);
    page.until("it answers again", "document.getElementById('silence').hidden").await;

    shop.program.signal(Signal::Kill);
    shop.program.exit().await;
    page.until_text("#silence", "No answer since").await;
    shop.program.restart().await;
    page.until("it is back", "document.getElementById('silence').hidden").await;
    page.until_text("#name", &format!("pid {}", shop.program.id())).await;
    page.assert_content(&shop.origin()).await;
}

#[tokio::test]
async fn a_refused_policy_file_is_told_with_its_finding_and_the_revision_in_force() {
    let mut shop = Shop::open().await;
    let mut page = shop.page(1_200).await;
    page.until_text("#policy", "policy revision 1").await;
    let wrong = shop.policy.replace("retry: {}", "retyr: {}");
    shop.program.write_policy(&wrong);
    page.until_text(".refused", "unknown key `retyr`").await;
    page.until_text("#policy", "file refused").await;
    page.until_text(".refused summary", "Revision 1 stays in force").await;
    let right = shop.policy.replace("retry: {}", "retry: { attempts: 2 }");
    shop.program.write_policy(&right);
    page.until_text("#policy", "policy revision 2").await;
    page.until("the finding is away", "document.querySelector('.refused') === null").await;
    page.until_text("#q1 .changes", "attempts").await;
    page.assert_content(&shop.origin()).await;
}

#[tokio::test]
async fn a_page_that_nobody_sees_does_not_ask_and_goes_on_when_it_is_seen_again() {
    const LOOKS: &str = "performance.getEntriesByName(location.origin + '/status').length";
    let shop = Shop::open().await;
    let mut page = shop.page(1_200).await;
    page.until_text("#q2", "search").await;
    let show = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {hidden} }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    page.eval(&show(true)).await;
    // That nothing comes can only be seen in time. What was under way ends in the first second.
    let later = |ms: u32| format!("new Promise((done) => setTimeout(() => done({LOOKS}), {ms}))");
    let before = page.eval(&later(1_000)).await;
    assert_eq!(page.eval(&later(2_500)).await, before);
    assert_eq!(page.eval("document.getElementById('silence').hidden").await, true);
    page.eval(&show(false)).await;
    page.until("it asks again", &format!("{LOOKS} > {before}")).await;
}

#[tokio::test]
async fn a_page_of_another_name_gets_nothing_and_changes_nothing() {
    let shop = Shop::open().await;
    let port = shop.program.address("admin").port();
    let mut page = shop.page(1_200).await;
    page.until_text("#q2", "search").await;
    let ask = "(async () => (await fetch('/policy/reload', { method: 'POST', body: '{}', \
               headers: { 'content-type': 'application/json' } })).status)()";
    assert_eq!(page.eval(ask).await, 403);
    assert_eq!(shop.post("/policy/reload", "", "{}").await, 403);
    assert_eq!(shop.post("/policy/reload", "x-outrigger-admin: 1\r\nOrigin: http://evil.example\r\n", "{}").await, 403);
    assert_eq!(shop.post("/policy/reload", "x-outrigger-admin: 1\r\n", "{}").await, 200);

    // The name leads here, as in an attack by DNS rebinding; the browser says the name, and that betrays it.
    page.go(&format!("http://{REBOUND}:{port}/")).await;
    page.until_text("body", "foreign-host").await;
    let steal = "(async () => (await fetch('/status')).status)()";
    assert_eq!(page.eval(steal).await, json!(403));
}
