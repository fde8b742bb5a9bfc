//! The variables of the environment.

use super::*;

#[test]
fn without_variables_the_defaults_of_the_specification_hold() {
    let read = environment(&[]);
    assert_eq!(read.endpoint, None);
    assert!(read.propagates && !read.disabled && read.problems.is_empty());
    assert!(read.sampler.parent_based && read.sampler.ratio == 1.0);
    assert_eq!((read.batch.queue_max, read.batch.size_max, read.timeout), (2_048, 512, 10_000 * MS));
    assert_eq!((read.batch.delay, read.batch.timeout), (5_000 * MS, 30_000 * MS));
}

#[test]
fn the_endpoint_of_all_signals_is_a_base_and_the_one_of_traces_is_whole() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
    assert_eq!(environment(&[base]).endpoint.unwrap().to_string(), "http://collector:4318/v1/traces");
    let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[::1]:9/otlp?key=secret");
    let endpoint = environment(&[base, whole]).endpoint.unwrap();
    assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.path.as_str()), ("::1", 9, "/otlp?key=secret"));
    assert_eq!(endpoint.to_string(), "http://[::1]:9/otlp", "a query may be a secret");
    assert_eq!(environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector")]).endpoint.unwrap().port, 80);
}

#[test]
fn what_cannot_be_obeyed_is_told_in_a_sentence_and_passed_over() {
    for (name, value, told) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "sent as http/protobuf, which collectors take on port 4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "without compression"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector", "https is not supported"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "write http://HOST:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:b@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "cannot be used"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c", "no header that could be sent"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "nonsense", "NAME=VALUE"),
        ("OTEL_RESOURCE_ATTRIBUTES", "x=%ff", "NAME=VALUE"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "parentbased_always_on is used"),
        ("OTEL_PROPAGATORS", "b3,tracecontext", "b3 is not supported"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "not a whole number"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "sent as otlp"),
    ] {
        let read = environment(&[(name, value)]);
        let [problem] = read.problems.as_slice() else { panic!("{name}={value}: {:?}", read.problems) };
        assert!(problem.contains(told), "{problem}");
        assert_eq!(read.endpoint, None);
    }
    let read = environment(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "7")]);
    assert_eq!((read.problems.len(), read.sampler.ratio), (1, 1.0));
}

#[test]
fn headers_attributes_and_the_name_of_the_service_are_read() {
    let read = environment(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x, x-tenant=7"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=of-attributes,k8s.pod.name=p"),
    ]);
    let headers: Vec<_> = read.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, [("authorization", "Bearer x"), ("x-tenant", "7")]);
    assert!(!format!("{read:?}").contains("Bearer"), "a header may be a password");
    let resource = read.resource(&policy(""));
    assert_eq!(resource[0].1, "of-attributes");
    assert!(resource.contains(&("k8s.pod.name".to_owned(), "p".to_owned())));
    assert_eq!(resource.iter().filter(|(name, _)| name == "service.name").count(), 1);
    assert_eq!(environment(&[("OTEL_SERVICE_NAME", "s")]).resource(&policy(""))[0].1, "s");
    assert_eq!(environment(&[]).resource(&policy(""))[0].1, "checkout", "else the name of the policy");
}

#[test]
fn switched_off_is_off_also_if_the_policy_names_an_endpoint() {
    let on = policy("tracing: { endpoint: 'http://collector:4318' }");
    for (variables, exported) in [
        (&[][..], true),
        (&[("OTEL_SDK_DISABLED", "TRUE")], false),
        (&[("OTEL_SDK_DISABLED", "no")], true),
        (&[("OTEL_TRACES_EXPORTER", "none")], false),
    ] {
        let (traces, _exporter) = Traces::new(environment(variables), Arc::default());
        assert_eq!(traces.follow(&on).is_some(), exported, "{variables:?}");
        assert!(traces.follow(&policy("")).is_none(), "no endpoint, no span");
    }
}
