//! Chromium without a window, driven through its DevTools protocol: JSON messages over two pipes, each ended by a NUL.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use outrigger::testing::{eventually, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// It reads orders from descriptor 3 and writes to 4; `exec` keeps the process id, so that it is the one we end.
const LAUNCH: &str = "exec chromium \"$@\" 3<&0 4>&1 0</dev/null 1>&2";

/// One name leads to this machine, as in an attack by DNS rebinding; no other name leads anywhere.
pub const REBOUND: &str = "rebound.example";

const OPTIONS: [&str; 11] = [
    "--headless=new",
    // Tests run as root in containers, where its own sandbox cannot be built.
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP rebound.example 127.0.0.1,MAP * ~NOTFOUND,EXCLUDE 127.0.0.1",
];

/// A running browser with one page. It ends with this value.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::UnboundedReceiver<Value>,
    number: u64,
    session: Option<String>,
    /// Every address that the page asked for.
    pub asked: Vec<String>,
    /// What the browser's console complained about: exceptions, violations of the page's own rules, warnings.
    pub complaints: Vec<String>,
    profile: TempDir,
}

impl Browser {
    /// Starts it, and opens `url` at this width.
    pub async fn open(url: &str, width: u32) -> Browser {
        let profile = tempfile::tempdir().expect("a directory");
        let said = File::create(profile.path().join("stderr")).expect("a file");
        let mut child = Command::new("sh")
            .args(["-c", LAUNCH, "chromium"])
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .expect("sh is there");
        let orders = child.stdin.take().expect("a pipe");
        let mut pipe = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while pipe.read_until(0, &mut message).is_ok_and(|bytes| bytes > 0) {
                let value = serde_json::from_slice(message.strip_suffix(b"\0").unwrap_or(&message));
                if value.is_ok_and(|value| tell.send(value).is_err()) {
                    break;
                }
                message.clear();
            }
        });
        let (asked, complaints) = (Vec::new(), Vec::new());
        let mut browser = Browser { child, orders, answers, number: 0, session: None, asked, complaints, profile };
        browser.attach(width).await;
        browser.go(url).await;
        browser
    }

    async fn attach(&mut self, width: u32) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" })).await["targetId"].clone();
        let session = self.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            self.call(&format!("{domain}.enable"), json!({})).await;
        }
        self.resize(width, 900).await;
        self.prefer("light").await;
    }

    /// Loads another address.
    pub async fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
        self.until("the page is loaded", "document.readyState === 'complete'").await;
    }

    /// The width and height of what is seen.
    pub async fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// What the system prefers: `light` or `dark`; nothing moves either way.
    pub async fn prefer(&mut self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// The value of an expression in the page.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text that a reader sees in the first element of this selector; empty if there is none.
    pub async fn text(&mut self, selector: &str) -> String {
        let expression = format!("document.querySelector({})?.innerText ?? ''", quoted(selector));
        self.eval(&expression).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&mut self, what: &str, expression: &str) {
        eventually(what, async || (self.eval(expression).await == true).then_some(())).await;
    }

    /// Waits until the text of an element contains this.
    pub async fn until_text(&mut self, selector: &str, part: &str) {
        let expression =
            format!("(document.querySelector({})?.innerText ?? '').includes({})", quoted(selector), quoted(part));
        self.until(&format!("{selector} says {part}"), &expression).await;
    }

    /// Clicks, as a mouse does, into the middle of the first element of this selector that contains `text`.
    pub async fn click(&mut self, selector: &str, text: &str) {
        let expression = format!(
            "(() => {{ const found = [...document.querySelectorAll({})].find((one) => one.innerText.includes({})); \
             found?.scrollIntoView({{ block: 'center' }}); const box = found?.getBoundingClientRect(); \
             return box && [box.x + Math.min(box.width / 2, 60), box.y + box.height / 2]; }})()",
            quoted(selector),
            quoted(text)
        );
        let place = eventually(&format!("{selector} with {text:?}"), async || {
            Some(self.eval(&expression).await).filter(Value::is_array)
        })
        .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types into whatever has the focus.
    pub async fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key: a character, or `Escape`, `Enter`.
    pub async fn press(&mut self, key: &str) {
        let code = match key {
            "Escape" => 27,
            "Enter" => 13,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { key };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if key != "Escape" {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down).await;
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code }))
            .await;
    }

    /// A picture of the page as far as it scrolls, as a file below the target directory.
    pub async fn picture(&mut self, name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"));
        let size = self.eval("[innerWidth, innerHeight, document.documentElement.scrollHeight]").await;
        let [width, height, whole] =
            [0, 1, 2].map(|at| size[at].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(900));
        // A window as high as the page: what sticks to its top, or stands in its middle, does so in the picture.
        self.resize(width, height.max(whole)).await;
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        self.resize(width, height).await;
        let picture = decoded(answer["data"].as_str().unwrap_or_default());
        assert!(picture.starts_with(b"\x89PNG"), "not a picture: {answer}");
        std::fs::write(&path, picture).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Panics if the console complained, or if the page asked anybody but `origin`.
    pub async fn assert_content(&mut self, origin: &str) {
        // What was said before this answer has arrived with it.
        self.eval("1").await;
        assert_eq!(self.complaints, [""; 0]);
        let foreign: Vec<_> = self.asked.iter().filter(|url| !url.starts_with(origin)).collect();
        assert!(foreign.is_empty() && !self.asked.is_empty(), "{foreign:?}");
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        // If it has ended, its end tells more than the broken pipe.
        let _ = self.orders.write_all(format!("{order}\0").as_bytes()).and_then(|()| self.orders.flush());
        loop {
            let Some(message) = within(method, self.answers.recv()).await else { self.ended() };
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                self.asked.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => self.complaints.push(params.to_string()),
            // What is not there, or does not answer, the page says itself.
            "Log.entryAdded" if params["entry"]["source"] != "network" => self.complaints.push(params.to_string()),
            "Audits.issueAdded" if params["issue"]["code"] == "ContentSecurityPolicyIssue" => {
                self.complaints.push(params.to_string());
            }
            _ => {}
        }
    }

    fn ended(&mut self) -> ! {
        let status = self.child.wait();
        let said = std::fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default();
        panic!("chromium ended ({status:?}); `make tools` installs it if it is missing. It said:\n{said}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Base64, which nothing else here needs.
fn decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| ALPHABET.iter().position(|known| *known == byte));
    let (mut bits, mut held, mut bytes) = (0, 0_u32, Vec::new());
    for digit in digits {
        held = (held << 6 | digit as u32) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    bytes
}
