//! Data documents: read at load, constant, part of the revision.

use super::*;

const RULE: &str = "rule(\"thrift\", #{ priority: 1, goal: \"protect\" }, |s, p| [\n\
    when((s.replicas.current - 2) * usd_per_hour(data(\"pricing\").pod_hour) > usd_per_hour(data(\"pricing\").worth)),\n\
    scale_to(2),\n]);";
const PRICING: &str = "{ \"pod_hour\": 0.12, \"worth\": 0.3, \"regions\": { \"eu\": [1, 2.5] }, \"open\": true }";

fn with(policy: &str, pricing: &str) -> Result<PolicySet, Vec<PolicyFault>> {
    load(&[("t.rhai", policy), ("prices/pricing.data.json", pricing)])
}

#[test]
fn prices_come_from_a_document_of_the_set() {
    let act = |pricing: &str| {
        let set = with(RULE, pricing).unwrap();
        let choice = Case::new().decide(&mut Decider::new(), &set).choice;
        (choice.rule().map(str::to_owned), set.revision().clone())
    };
    let (dear, first) = act(PRICING);
    let (cheap, second) = act(&PRICING.replace("0.12", "0.09"));
    assert_eq!((dear.as_deref(), cheap.as_deref()), (Some("thrift"), None), "three pods at 12 and at 9 cents");
    assert_ne!(first, second, "a document is part of the revision");
    let everywhere = format!(
        "param(\"eu\", data(\"pricing\").regions.eu[1]);\nif data(\"pricing\").open {{ {RULE} }}\n\
         rule(\"x\", #{{ priority: 2, goal: \"protect\" }}, |s, p| [when(s.queue.current > p.eu), restart()]);"
    );
    assert_eq!(with(&everywhere, PRICING).unwrap().rules().count(), 2);
}

#[test]
fn what_is_wrong_with_a_document_is_said_with_its_place() {
    let check = |policy: &str, pricing: &str, expected: &str| {
        let faults = with(policy, pricing).expect_err(expected);
        assert!(faults[0].to_string().starts_with(expected), "{}\nwanted: {expected}", faults[0]);
    };
    check(RULE, "{\n \"pod_hour\": ,", "prices/pricing.data.json:2:14: is not JSON: ");
    let twice = "{ \"pod_hour\": 1,\n \"regions\": { \"eu\": 1, \"eu\": 2 } }";
    check(RULE, twice, "prices/pricing.data.json:2:");
    check(RULE, "{ \"pod_hour\": null }", "prices/pricing.data.json: null is not allowed");
    check(RULE, &format!("[{}1]", "1,".repeat(300)), "prices/pricing.data.json: it has 301 elements of");
    check(RULE, &format!("{}1{}", "[".repeat(20), "]".repeat(20)), "prices/pricing.data.json: it is nested more than");
    check(&RULE.replace("pod_hour", "pod_hours"), PRICING, "t.rhai:2:");
    check(&RULE.replace("pricing", "prices"), PRICING, "t.rhai:2:");
    let twice = load(&[("t.rhai", RULE), ("a/pricing.data.json", PRICING), ("pricing.data.json", PRICING)]);
    assert!(twice.unwrap_err()[0].to_string().contains("two documents are named `pricing`"));
    let none = load(&[("t.rhai", RULE)]).unwrap_err();
    assert!(none[0].to_string().contains("the set has no pricing.data.json; known: none"), "{}", none[0]);
}

/// The engine counts a value including what is nested in it: what loads can be read completely.
#[test]
fn a_document_that_is_too_large_to_be_read_does_not_load() {
    let objects = |count: usize, inner: &str| {
        let members: Vec<String> = (0..count).map(|at| format!("\"t{at}\": {inner}")).collect();
        format!("{{ {} }}", members.join(", "))
    };
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let rule = one("when(s.queue.current > data(\"pricing\").t0.b), restart()");
    assert!(with(&rule, &objects(64, "{ \"a\": 1, \"b\": 2, \"c\": 3 }")).is_ok());
    for (document, expected) in [
        (
            objects(65, "{ \"a\": 1, \"b\": 2, \"c\": 3 }"),
            "it has 260 entries of objects in total, the limit is 256: split",
        ),
        (
            objects(3, "{ \"b\": [[1, 2], [3, 4]] }").replace("[1", &format!("[{}1", "1,".repeat(100))),
            "it has 318 elements of",
        ),
        (
            objects(2, &format!("{{ \"b\": 1, \"c\": {} }}", text(2049))),
            "it has 4098 bytes of text in total, the limit is 4096",
        ),
    ] {
        let fault = with(&rule, &document).expect_err(expected).remove(0).to_string();
        assert!(fault.starts_with(&format!("prices/pricing.data.json: {expected}")), "{fault}");
    }
    assert!(with(&rule, &objects(2, &format!("{{ \"b\": 1, \"c\": {} }}", text(2048)))).is_ok());
}

/// A script that modifies its copy changes nothing for the next one.
#[test]
fn documents_are_constant() {
    let writes = format!("let prices = data(\"pricing\");\nprices.pod_hour = 9.0;\n{RULE}");
    let set = with(&writes, &PRICING.replace("0.12", "0.09")).unwrap();
    assert!(Case::new().decide(&mut Decider::new(), &set).choice.rule().is_none());
}

/// Test expectations often derive from the same prices.
#[test]
fn a_test_finds_the_documents_of_its_set() {
    let test = "test(\"three pods are dear\", || {\n\
        given(#{ \"replicas.current\": 2 + (data(\"pricing\").worth / data(\"pricing\").pod_hour).to_int() + 1 })\n\
        .decide().expect(\"thrift\");\n});";
    let files = [("t.rhai", RULE), ("prices/pricing.data.json", PRICING), ("t_test.rhai", test)];
    let set = Arc::new(load(&files).unwrap());
    let report = run_tests(&set, &vocabulary(), files, &|_| true, &never).unwrap();
    assert!(report.tests.len() == 1 && report.failures().next().is_none(), "{report:?}");
}
