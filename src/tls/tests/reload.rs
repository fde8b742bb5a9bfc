//! Files that change while they are used.

use std::fs;

use super::*;
use crate::testing::Volume;

fn replaced(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Replaced { .. })).count()
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_handshake_on_and_connections_stay() {
    let authority = Authority::new();
    let (server, client) = (directory(&authority, &pay()), directory(&authority, &web()));
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(server.path()));
    let connector = told.connector(client_spec(client.path()));
    let (accepted, connected) = meet(&acceptor, &connector, "payments").await;
    let (mut here, mut there) = (accepted.unwrap().stream, connected.unwrap().stream);
    authority.issue(&pay().name("payments.new.svc")).write(server.path());
    told.registry.reload();
    let events = told.events();
    let [Event::Replaced { holders, what, certificate: Some(held) }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((holders[0].words(), held.file.as_path()), ("inbound", server.path().join("tls.crt").as_path()));
    assert!(what.contains("payments.new.svc") && what.contains("valid until 20"), "{what}");
    assert!(!resumed(&meet(&acceptor, &connector, "payments").await.1.unwrap()), "tickets of before are worth nothing");
    here.write_all(b"still").await.unwrap();
    here.flush().await.unwrap();
    let mut heard = [0; 5];
    there.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still");
}

#[tokio::test]
async fn an_authority_that_is_gone_vouches_for_nobody_any_more() {
    let (old, new) = (Authority::new(), Authority::new());
    let (server, client) = (directory(&old, &pay()), directory(&old, &web()));
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(server.path()));
    let connector = told.connector(client_spec(client.path()));
    assert!(meet(&acceptor, &connector, "payments").await.0.is_ok());
    new.write(server.path());
    told.registry.reload();
    assert_eq!(replaced(&told.events()), 1);
    assert_eq!(meet(&acceptor, &connector, "payments").await.0.unwrap_err(), HandshakeFailed::Certificate);
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_one_and_says_so_once() {
    let authority = Authority::new();
    let (server, client) = (directory(&authority, &pay()), directory(&authority, &web()));
    let told = Told::new();
    let acceptor = told.acceptor(server_spec(server.path()));
    let connector = told.connector(client_spec(client.path()));
    let cert = server.path().join("tls.crt");
    let good = fs::read(&cert).unwrap();
    let bad: [Vec<u8>; 3] = [
        b"nonsense".to_vec(),
        authority.issue(&pay()).chain.into_bytes(),
        authority.issue(&pay().expired()).chain.into_bytes(),
    ];
    for content in bad {
        fs::write(&cert, &content).unwrap();
        told.registry.reload();
        told.registry.reload();
        let events = told.events();
        let [Event::Unusable { error, .. }] = events.as_slice() else { panic!("told once: {events:?}") };
        assert!(error.contains("tls."), "{error}");
        assert_eq!(told.registry.standings()[0].error.as_ref(), Some(error));
        assert!(meet(&acceptor, &connector, "payments").await.0.is_ok(), "the last good one is in force");
    }
    fs::write(&cert, &good).unwrap();
    told.registry.reload();
    assert!(matches!(told.events().as_slice(), [Event::Recovered { .. }]));
    assert_eq!(told.registry.standings()[0].error, None);
    fs::remove_file(&cert).unwrap();
    told.registry.reload();
    let events = told.events();
    assert!(
        matches!(events.as_slice(), [Event::Unusable { error, .. }] if error.contains("is not there")),
        "{events:?}"
    );
}

#[test]
fn a_start_without_good_files_fails_with_the_file() {
    let told = Told::new();
    let error = told.registry.acceptor(&"app".into(), &Arc::new(server_spec(Path::new("/nowhere")))).unwrap_err();
    assert!(error.contains("/nowhere/tls.crt is not there"), "{error}");
    let spec = ClientTls { ca: Some("/nowhere/ca.crt".into()), ..ClientTls::default() };
    assert!(told.registry.connector(&"a".into(), &Arc::new(spec)).unwrap_err().contains("/nowhere/ca.crt"));
    assert!(told.registry.files().is_empty(), "what failed is not watched");
}

#[test]
fn what_many_share_is_one_event_and_what_nobody_uses_is_forgotten() {
    let authority = Authority::new();
    let files = directory(&authority, &web());
    let told = Told::new();
    let spec = Arc::new(client_spec(files.path()));
    let names: [Arc<str>; 3] = ["a".into(), "b".into(), "c".into()];
    let mut held: Vec<_> = names.iter().map(|name| told.registry.connector(name, &spec).unwrap()).collect();
    assert_eq!(told.registry.files().len(), 3);
    authority.issue(&web()).write(files.path());
    told.registry.reload();
    let events = told.events();
    assert!(matches!(events.as_slice(), [Event::Replaced { holders, .. }] if holders.len() == 3), "{events:?}");
    assert!(held.iter().all(|connector| connector.generation() == 1));
    held.clear();
    told.registry.reload();
    assert!(told.registry.files().is_empty() && told.registry.standings().is_empty());
}

#[tokio::test]
async fn every_swap_of_a_mounted_secret_is_a_reload() {
    let authority = Authority::new();
    let of = |number: u32| authority.issue(&pay().name(&format!("generation-{number}.svc")));
    let contents = |number: u32| {
        let shown = of(number);
        [("tls.crt", shown.chain), ("tls.key", shown.key), ("ca.crt", authority.root().to_owned())]
    };
    fn borrowed<'a>(files: &'a [(&'static str, String); 3]) -> Vec<(&'static str, &'a str)> {
        files.iter().map(|(name, text)| (*name, text.as_str())).collect()
    }
    let place = tempfile::tempdir().unwrap();
    let mut volume = Volume::mount(place.path().join("tls"), &borrowed(&contents(0)));
    let told = Arc::new(Told::new());
    let _acceptor = told.acceptor(server_spec(volume.path()));
    let (looked, looks) = std::sync::mpsc::channel();
    let (files, reloads) = (Arc::clone(&told), Arc::clone(&told));
    let watcher = crate::policy::watch::Watcher::follow(
        "tls-watch",
        move || files.registry.files(),
        move |_| {
            reloads.registry.reload();
            let _ = looked.send(());
        },
    );
    let _watcher = watcher.unwrap();
    for number in 1..=3 {
        volume.write(&borrowed(&contents(number)));
        let wanted = format!("generation-{number}.svc");
        let limit = clock::now() + PATIENCE;
        while !told.registry.standings()[0].presented.as_ref().is_some_and(|held| held.subject.contains(&wanted)) {
            let left = limit.saturating_duration_since(clock::now());
            looks.recv_timeout(left).expect("the swap was not seen");
        }
    }
    assert_eq!(replaced(&told.events()), 3, "three swaps, three reloads");
}
