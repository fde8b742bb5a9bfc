use std::path::Path;

use super::*;
use crate::policy::tls::{ClientTls, Identity};
use crate::testing::certificates::{Authority, Leaf};
use crate::testing::free_address;
use crate::tls::Registry;

/// A real server that speaks TLS at one port, and in clear at the usual one, where tests look at it.
struct Encrypted {
    server: RedisServer,
    port: u16,
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Encrypted {
    /// `names`: what its certificate is for. `demands`: clients need one, too.
    async fn start(names: &[&str], demands: bool) -> Encrypted {
        let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
        let files = authority.server(names).write(&directory.path().join("server"));
        let ca = authority.write(directory.path());
        let (port, text) = (free_address().port(), |path: &Path| path.display().to_string());
        let options = [
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &text(&files.cert),
            "--tls-key-file",
            &text(&files.key),
            "--tls-ca-cert-file",
            &text(&ca),
            "--tls-auth-clients",
            if demands { "yes" } else { "no" },
            "--requirepass",
            "hunter2",
        ]
        .map(str::to_owned);
        let server = RedisServer::start_with(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
        Encrypted { server, port, authority, directory }
    }

    fn trusting(&self, authority: &Authority) -> ClientTls {
        let directory = self.directory.path().join(format!("{:?}", std::ptr::from_ref(authority)));
        std::fs::create_dir_all(&directory).expect("a directory");
        ClientTls { ca: Some(authority.write(&directory)), ..ClientTls::default() }
    }

    fn settings(&self, spec: ClientTls) -> RedisSettings {
        let connector =
            Registry::new(Arc::new(|_| {})).connector(&"redis".into(), &Arc::new(spec)).expect("good files");
        RedisSettings {
            url: format!("rediss://:hunter2@127.0.0.1:{}/", self.port),
            tls: Some(connector),
            ..settings(&self.server)
        }
    }

    async fn store(&self, spec: ClientTls) -> (RedisStore, Option<String>) {
        let (store, connected) = RedisStore::connect(&self.settings(spec)).await.expect("good settings");
        (store, connected.degraded)
    }

    /// Looks at the server in clear.
    async fn looker(&self) -> RedisStore {
        let url = format!("redis://:hunter2@{}/", self.server.address());
        RedisStore::connect(&RedisSettings { url, ..settings(&self.server) }).await.expect("good settings").0
    }
}

#[tokio::test]
async fn over_tls_a_request_goes_from_its_claim_to_its_replay_and_a_lost_connection_is_made_anew() {
    let mut encrypted = Encrypted::start(&["127.0.0.1"], false).await;
    let (store, degraded) = encrypted.store(encrypted.trusting(&encrypted.authority)).await;
    assert_eq!(degraded, None);
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, DONE);
    assert_eq!(reply(&store, complete(1, 1, HOUR, answer(Some(b"\0\xFF")))).await, DONE);
    let replayed = store.apply(claim(1, 2, MINUTE, HOUR)).await.expect("an answer");
    assert_eq!(replayed.answer, Some(answer(Some(b"\0\xFF"))));

    encrypted.server.restart().await;
    crate::testing::eventually("a new session", async || {
        (reply(&store, claim(2, 1, MINUTE, HOUR)).await == GRANTED).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_believed_gets_nothing_and_the_store_says_why() {
    let encrypted = Encrypted::start(&["127.0.0.1"], false).await;
    let misnamed = Encrypted::start(&["redis.elsewhere"], false).await;
    let cases = [
        (&encrypted, encrypted.trusting(&Authority::new())),
        (&encrypted, ClientTls::default()),
        (&misnamed, misnamed.trusting(&misnamed.authority)),
    ];
    for (server, spec) in cases {
        let looker = server.looker().await;
        raw(&looker, &["CONFIG", "RESETSTAT"]).await;
        let (store, degraded) = server.store(spec).await;
        assert!(degraded.as_deref().is_some_and(|why| why.contains("tls-certificate")), "{degraded:?}");
        let refused = reply(&store, claim(1, 1, MINUTE, HOUR)).await;
        assert!(
            matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("tls-certificate")),
            "{refused:?}"
        );
        let Value::BulkString(seen) = raw(&looker, &["INFO", "commandstats"]).await else { panic!("no statistics") };
        let seen = String::from_utf8(seen).expect("text");
        assert!(!seen.contains("cmdstat_auth") && !seen.contains("cmdstat_eval"), "{seen}");
    }
    // The name that it is for can be said.
    let named = ClientTls { server_name: Some("redis.elsewhere".into()), ..misnamed.trusting(&misnamed.authority) };
    assert_eq!(misnamed.store(named).await.1, None);
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours_and_without_one_the_store_is_not_available() {
    let encrypted = Encrypted::start(&["127.0.0.1"], true).await;
    let bare = encrypted.trusting(&encrypted.authority);
    let (store, degraded) = encrypted.store(bare.clone()).await;
    assert!(degraded.is_some(), "no certificate was shown");
    assert!(matches!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, Err(StoreError::Unavailable(_))));

    let ours = encrypted.authority.issue(&Leaf::client("spiffe://shop.example/outrigger"));
    let files = ours.write(&encrypted.directory.path().join("ours"));
    let identity = Some(Identity { cert: files.cert, key: files.key });
    let (store, degraded) = encrypted.store(ClientTls { identity, ..bare }).await;
    assert_eq!(degraded, None);
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_named_as_that() {
    let encrypted = Encrypted::start(&["127.0.0.1"], false).await;
    let url = format!("rediss://:hunter2@{}/", encrypted.server.address());
    let connect_timeout = Duration::from_millis(500);
    let settings =
        RedisSettings { url, connect_timeout, ..encrypted.settings(encrypted.trusting(&encrypted.authority)) };
    // It waits for the rest of what it takes for a command, and the store for its handshake.
    let store = RedisStore::connect(&settings).await.expect("good settings").0;
    let connected = crate::testing::eventually("the end of a handshake", async || {
        let refused = reply(&store, claim(1, 1, MINUTE, HOUR)).await;
        Some(format!("{refused:?}")).filter(|why| why.contains("tls-timeout"))
    })
    .await;
    assert!(connected.contains("speaks no TLS"), "{connected}");
}
