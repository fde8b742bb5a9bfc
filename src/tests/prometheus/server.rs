use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use outrigger::testing::{eventually, free_address, get};
use serde_json::Value;
use tempfile::TempDir;

/// A running `prometheus` with our rules. Its scrape configuration is the one that we ship.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target` each second, as a native sidecar of the application `checkout` in `shop`, and
    /// waits until it is ready.
    pub async fn start(target: SocketAddr) -> Prometheus {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("prometheus.yaml");
        fs::write(&config, configuration(target)).expect("the directory is ours");
        let address = free_address();
        let log = File::create(directory.path().join("log")).expect("the directory is ours");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| {
                panic!("cannot start prometheus ({e}): `make tools` installs it, or: apt-get install prometheus")
            });
        let mut server = Prometheus { child, address, directory };
        eventually("readiness of prometheus", async || {
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!("prometheus ended with {status} instead of becoming ready");
            }
            get(server.address, "/-/ready").await.filter(|answer| answer.status == 200)
        })
        .await;
        server
    }

    /// `GET path` of its API; panics with its words if it refuses.
    pub async fn api(&self, path: &str) -> Value {
        match get(self.address, path).await {
            Some(answer) if answer.json()["status"] == "success" => answer.json()["data"].clone(),
            Some(answer) => panic!("{path}: {}", answer.text()),
            None => panic!("{path}: no answer"),
        }
    }

    /// What a query finds: labels and value of each series.
    pub async fn query(&self, expr: &str) -> Vec<(Value, f64)> {
        let data = self.api(&format!("/api/v1/query?query={}", encoded(expr))).await;
        let result = data["result"].as_array().unwrap_or_else(|| panic!("{expr}: no vector but {data}"));
        let number = |sample: &Value| sample["value"][1].as_str().and_then(|text| text.parse().ok());
        result.iter().map(|sample| (sample["metric"].clone(), number(sample).expect("a number"))).collect()
    }

    /// The value of a query that finds one series.
    pub async fn value(&self, expr: &str) -> Option<f64> {
        match self.query(expr).await.as_slice() {
            [] => None,
            [(_, value)] => Some(*value),
            more => panic!("{expr} finds {more:?}"),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended on its own; either way it is gone after `wait`.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("--- log of prometheus\n{log}");
        }
    }
}

fn deployed(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The shipped example, with a fixed address in place of Kubernetes, which labels it as Kubernetes would.
fn configuration(target: SocketAddr) -> String {
    let discovered = format!(
        "static_configs:\n      - targets: [\"{target}\"]\n        labels:\n          \
         __meta_kubernetes_pod_container_init: \"true\"\n          \
         __meta_kubernetes_pod_container_port_name: outrigger-prom\n          \
         __meta_kubernetes_pod_phase: Running\n          \
         __meta_kubernetes_namespace: shop\n          \
         __meta_kubernetes_pod_name: checkout-0\n          \
         __meta_kubernetes_pod_label_app_kubernetes_io_name: checkout"
    );
    let rules = deployed("prometheus/rules.yaml");
    let mut text = fs::read_to_string(deployed("prometheus/scrape.yaml")).expect("deploy/prometheus/scrape.yaml");
    let changes = [
        ("kubernetes_sd_configs: [{ role: pod }]", discovered),
        ("rule_files: [rules.yaml]", format!("rule_files: [{}]", rules.display())),
        ("scrape_interval: 15s", "scrape_interval: 1s".to_owned()),
        ("evaluation_interval: 15s", "evaluation_interval: 1s".to_owned()),
    ];
    for (from, to) in changes {
        assert!(text.contains(from), "scrape.yaml has no `{from}` any more");
        text = text.replace(from, &to);
    }
    text
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}
