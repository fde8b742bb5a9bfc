use outrigger::testing::{Client, Http2, eventually, free_address};

use super::{Encrypted, Folder, Peer};

/// nginx with HTTP/2 inside TLS; it answers with what it was spoken to in, and by whom.
async fn nginx(files: &Encrypted) -> (Peer, u16) {
    let (folder, address) = (Folder::new(), free_address());
    let home = folder.path().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {home}/{kind};\n"))
        .concat();
    let (cert, key, ca) = (files.path("tls.crt"), files.path("tls.key"), files.path("ca.crt"));
    let config = format!(
        "daemon off;\nmaster_process off;\nerror_log {home}/error.log;\npid {home}/pid;\nevents {{}}\nhttp {{\n\
         {temporary}    access_log off;\n    server {{\n        listen {address} ssl http2;\n        \
         ssl_certificate {cert};\n        ssl_certificate_key {key};\n        ssl_protocols TLSv1.2 TLSv1.3;\n        ssl_client_certificate {ca};\n        \
         ssl_verify_client on;\n        keepalive_requests 5;\n        location / {{\n            \
         return 200 \"$server_protocol $ssl_protocol $ssl_client_verify $ssl_server_name $connection\";\n        \
         }}\n    }}\n}}\n"
    );
    let file = folder.file("nginx.conf", &config);
    let peer = Peer::start(folder, "/usr/sbin/nginx", &["-p", &home, "-e", "stderr", "-c", &file]);
    eventually("nginx listens", async || tokio::net::TcpStream::connect(address).await.ok()).await;
    (peer, address.port())
}

#[tokio::test]
async fn nginx_is_spoken_to_in_http2_inside_tls_and_sees_our_certificate() {
    let files = Encrypted::new();
    let (_nginx, port) = nginx(&files).await;
    let program = files.outbound(port, "").await;
    let mut client = Client::connect(program.listen()).await;
    let text = client.get("/").await.text();
    assert!(text.starts_with("HTTP/2.0 TLSv1.3 SUCCESS localhost "), "{text}");
}

#[tokio::test]
async fn no_request_is_lost_when_nginx_ends_connections_by_goaway() {
    // It does after every fifth request (keepalive_requests).
    let files = Encrypted::new();
    let (_nginx, port) = nginx(&files).await;
    let program = files.outbound(port, "").await;
    let mut client = Http2::connect(program.listen()).await;
    let mut connections = std::collections::BTreeSet::new();
    for number in 0..40 {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200, "request {number}: {}", answer.text());
        connections.extend(answer.text().split(' ').next_back().map(str::to_owned));
    }
    assert!(connections.len() >= 8, "{connections:?}");
}

#[tokio::test]
async fn http1_is_spoken_to_nginx_where_the_policy_says_so() {
    let files = Encrypted::new();
    let (_nginx, port) = nginx(&files).await;
    let program = files.outbound(port, "protocol: http1").await;
    let text = Client::connect(program.listen()).await.get("/").await.text();
    assert!(text.starts_with("HTTP/1.1 TLSv1.3 SUCCESS"), "{text}");
}
