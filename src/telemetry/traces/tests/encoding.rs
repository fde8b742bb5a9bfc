//! What is written by hand is read back by the official messages.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;

use super::super::protobuf::{Value, Writer, fields};
use super::*;
use crate::reliability::attempts::Denied;
use crate::reliability::grpc::Code;

fn target() -> Target {
    let resource = environment(&[("OTEL_RESOURCE_ATTRIBUTES", "team=pay%20ments")]).resource(&policy(""));
    Target { endpoint: Endpoint::base("http://collector:4318").unwrap(), resource }
}

fn decoded(stories: Vec<Story>) -> ExportTraceServiceRequest {
    let stories: Vec<Box<Story>> = stories.into_iter().map(Box::new).collect();
    ExportTraceServiceRequest::decode(otlp::encode(&target(), &stories).as_slice()).expect("valid protobuf")
}

fn spans(story: Story) -> Vec<Span> {
    let mut request = decoded(vec![story]);
    request.resource_spans.remove(0).scope_spans.remove(0).spans
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let mut found = attributes.iter().filter(|pair| pair.key == name);
    let value = found.next()?.value.clone()?.value?;
    assert!(found.next().is_none(), "{name} stands twice");
    Some(match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    })
}

fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(text(&span.attributes, name).as_deref(), Some(*value), "{name} of {}", span.name);
    }
}

fn assert_without(span: &Span, names: &[&str]) {
    for name in names {
        assert_eq!(text(&span.attributes, name), None, "{name} of {}", span.name);
    }
}

#[test]
fn a_rescued_request_is_a_server_span_without_error_and_a_client_span_per_attempt() {
    let [server, first, second] = spans(story()).try_into().unwrap();
    assert_eq!((server.name.as_str(), server.kind, server.status.clone()), ("GET pay/charge", 2, None));
    assert_eq!(server.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(server.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(server.flags, 0x301);
    assert_eq!((server.start_time_unix_nano, server.end_time_unix_nano), (1_999_900_000_000, 2_000_000_000_000));
    assert_attributes(
        &server,
        &[
            ("http.request.method", "GET"),
            ("url.path", "/charges"),
            ("url.scheme", "http"),
            ("http.route", "pay/charge"),
            ("http.response.status_code", "200"),
            ("server.address", "pay.test"),
            ("server.port", "4400"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", "curl/8"),
            ("outrigger.retry.decision", "retried"),
            ("outrigger.circuit.state", "closed"),
            ("outrigger.policy.revision", "7"),
            ("outrigger.policy.hash", &story().policy.hash),
            ("outrigger.attempts", "2"),
            ("outrigger.outcome", "success"),
        ],
    );
    assert_without(&server, &["error.type", "outrigger.failure", "outrigger.kept", "outrigger.dlq.id"]);
    let [backoff] = server.events.as_slice() else { panic!("{:?}", server.events) };
    assert_eq!((backoff.name.as_str(), backoff.time_unix_nano), ("outrigger.backoff", 1_999_911_000_000));
    assert_eq!(text(&backoff.attributes, "outrigger.backoff_ms").as_deref(), Some("25"));

    for (number, client) in [(1, &first), (2, &second)] {
        assert_eq!((client.kind, &client.parent_span_id), (3, &server.span_id));
        assert_eq!(client.span_id, story().lineage.client(number).to_be_bytes());
        assert_eq!((&client.trace_id, client.flags), (&server.trace_id, 0x101));
    }
    assert_eq!(first.status.as_ref().map(|status| status.code), Some(2));
    assert_attributes(&first, &[("error.type", "503"), ("outrigger.attempt.result", "upstream_error")]);
    assert_without(&first, &["http.request.resend_count"]);
    assert_eq!((second.status.clone(), second.start_time_unix_nano), (None, 1_999_936_000_000));
    assert_attributes(
        &second,
        &[
            ("http.request.resend_count", "1"),
            ("http.response.status_code", "200"),
            ("server.address", "10.0.0.7"),
            ("server.port", "8080"),
            ("network.peer.address", "10.0.0.7"),
            ("network.peer.port", "8080"),
            ("url.full", "http://10.0.0.7:8080/charges?card=REDACTED&REDACTED"),
            ("outrigger.attempt.kind", "retry"),
            ("outrigger.attempt.result", "success"),
            ("outrigger.deadline.remaining_ms", "964"),
        ],
    );
    assert_without(&second, &["error.type"]);
}

#[test]
fn the_batch_names_the_process() {
    let request = decoded(vec![story(), refused()]);
    let batch = &request.resource_spans[0];
    let resource = &batch.resource.as_ref().unwrap().attributes;
    assert_eq!(text(resource, "service.name").as_deref(), Some("checkout"));
    assert_eq!(text(resource, "team").as_deref(), Some("pay ments"));
    assert_eq!(batch.scope_spans[0].scope.as_ref().unwrap().name, "outrigger");
    assert_eq!(batch.scope_spans[0].spans.len(), 4);
}

#[test]
fn what_was_refused_unsent_is_one_span_with_an_error_and_the_reason() {
    let [server] = spans(refused()).try_into().unwrap();
    let status = server.status.clone().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, Failure::CircuitOpen.title()));
    assert_attributes(
        &server,
        &[
            ("error.type", "destination_unavailable"),
            ("outrigger.failure", "circuit-open"),
            ("outrigger.failure.side", "upstream"),
            ("outrigger.failure.phase", "admit"),
            ("outrigger.sent", "no"),
            ("outrigger.circuit.state", "open"),
        ],
    );
    assert_eq!(server.events[0].name, "outrigger.refused");
}

#[test]
fn what_the_caller_did_wrong_and_that_it_left_are_no_errors_of_the_server() {
    let of = |failure, status, outcome| Story { failure: Some((failure, Sent::No)), status, outcome, ..refused() };
    for story in [
        of(Failure::KeyMissing, 400, RequestOutcome::Refused),
        of(Failure::ClientGone, 0, RequestOutcome::ClientGone),
        Story { failure: None, status: 404, outcome: RequestOutcome::Success, ..refused() },
    ] {
        let [server] = spans(story).try_into().unwrap();
        assert_eq!(server.status, None);
        assert_without(&server, &["error.type"]);
    }
    // An answer that broke off is an error, though its status was fine.
    let [server] = spans(of(Failure::ResponseIncomplete, 200, RequestOutcome::Failed)).try_into().unwrap();
    assert_attributes(&server, &[("error.type", "http_response_incomplete"), ("http.response.status_code", "200")]);
    let [server] = spans(Story { failure: None, status: 500, outcome: RequestOutcome::UpstreamError, ..refused() })
        .try_into()
        .unwrap();
    assert_attributes(&server, &[("error.type", "500")]);
}

#[test]
fn a_call_is_told_by_its_method_and_its_code_and_fails_as_opentelemetry_says() {
    let of = |code: Code, outcome| {
        let mut call = Story { grpc: true, call: Some(code), target: "/shop.Cart/Add".to_owned(), outcome, ..story() };
        call.attempts.truncate(1);
        call.attempts[0].end = AttemptEnd::Call(code);
        let [server, client] = spans(call).try_into().unwrap();
        let own = [
            ("rpc.system.name", "grpc"),
            ("rpc.method", "shop.Cart/Add"),
            ("rpc.response.status_code", code.as_str()),
            ("http.response.status_code", "200"),
        ];
        assert_attributes(&server, &own);
        assert_attributes(&client, &own);
        (server, client)
    };
    let (server, client) = of(Code::Unavailable, RequestOutcome::UpstreamError);
    assert_attributes(&server, &[("error.type", "UNAVAILABLE")]);
    assert_attributes(&client, &[("error.type", "UNAVAILABLE"), ("outrigger.attempt.result", "upstream_error")]);
    let (server, client) = of(Code::NotFound, RequestOutcome::Success);
    assert_eq!(server.status, None);
    assert_attributes(&client, &[("error.type", "NOT_FOUND"), ("outrigger.attempt.result", "success")]);
    let (server, _) = of(Code::Unimplemented, RequestOutcome::Success);
    assert_attributes(&server, &[("error.type", "UNIMPLEMENTED")]);
    let (server, client) = of(Code::Ok, RequestOutcome::Success);
    assert_eq!((server.status, client.status), (None, None));
}

#[test]
fn an_attempt_that_was_given_up_is_no_error_and_one_without_endpoint_has_no_span() {
    let mut gone = story();
    gone.attempts[0].end = AttemptEnd::Cancelled;
    gone.attempts[1].endpoint = None;
    gone.attempts[1].end = AttemptEnd::Failed(Failure::DnsError);
    gone.denied = Some(Denied::Budget);
    let [server, client] = spans(gone).try_into().unwrap();
    assert_eq!(client.status, None);
    assert_attributes(&client, &[("outrigger.attempt.result", "cancelled")]);
    assert_without(&client, &["error.type", "http.response.status_code"]);
    let events: Vec<&str> = server.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["outrigger.backoff", "outrigger.no_endpoint", "outrigger.retry.denied"]);
    assert_attributes(&server, &[("outrigger.retry.decision", "budget")]);
}

#[test]
fn an_unknown_method_is_other_and_a_request_without_a_route_is_named_by_its_method() {
    let method = Method::from_bytes(b"BREW").unwrap();
    let [server] = spans(Story { method, route: None, ..refused() }).try_into().unwrap();
    assert_eq!(server.name, "HTTP");
    assert_attributes(&server, &[("http.request.method", "_OTHER"), ("http.request.method_original", "BREW")]);
    assert_without(&server, &["http.route"]);
}

#[test]
fn a_partial_success_is_understood_and_nonsense_is_none() {
    let partial = ExportTracePartialSuccess { rejected_spans: 300, error_message: "too old".to_owned() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    assert_eq!(otlp::refused(&answer), Some((300, "too old".to_owned())));
    for whole in [b"".as_slice(), &[0x0a, 0x00], b"\xff\xff", b"not found", &[0x0a, 0x7f, 1]] {
        assert_eq!(otlp::refused(whole), None, "{whole:?}");
    }
}

proptest! {
    #[test]
    fn strings_of_any_length_and_any_number_of_spans_arrive_whole(length in 0_usize..40_000, count in 1_usize..40) {
        let target = format!("/{}", "x".repeat(length));
        let stories = (0..count).map(|_| Story { target: target.clone(), ..refused() }).collect();
        let request = decoded(stories);
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        prop_assert_eq!(spans.len(), count);
        for span in spans {
            prop_assert_eq!(text(&span.attributes, "url.path"), Some(target.clone()));
        }
    }

    #[test]
    fn a_number_is_read_as_it_was_written(number in any::<u64>(), field in 1_u32..1_000) {
        let mut writer = Writer::default();
        writer.chosen_varint(field, number);
        let bytes = writer.into_bytes();
        let read: Vec<_> = fields(&bytes).collect();
        prop_assert_eq!(read, [(u64::from(field), Value::Number(number))]);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = otlp::refused(&bytes);
    }
}
