//! The metrics page. Changing a name or a label breaks alerts.

use std::time::Duration;

use flyball::instrument::{ActorRole, Metrics, SourceFault, Stage};
use flyball::model::kill::KillOrder;
use flyball::model::{ActionClass, Impact, KillState, Mode, PolicyRevision, WriteOutcome};

use crate::records;

const SERVICE: &str = "shop/checkout";

/// A registry in which everything has happened once.
fn exercised() -> Metrics {
    let metrics = Metrics::new();
    let process = metrics.process();
    process.tick_lateness.observe(0.01);
    process.stage(Stage::Decide, Duration::from_micros(20));
    process.lost_log_lines.inc();
    process.ready(true);
    process.unbounded(true);
    process.kill(&KillState::Unreadable { error: "gone".to_owned() });
    process.policy_active(&PolicyRevision::of([("a", "1")]));
    process.policy_active(&PolicyRevision::of([("a", "2")]));
    process.policy_faults(1);
    process.loops_refused(1);
    metrics.journal().committed(3, Duration::from_millis(1));
    let source = metrics.source("prometheus");
    source.asked(6, 2, Duration::from_millis(12));
    source.answered(records::at(0), Some(Duration::from_secs(4)));
    source.failed(SourceFault::TimedOut);
    source.annotated(2);
    let service = metrics.service(&records::spec(SERVICE));
    for record in [records::acted(records::id(SERVICE, 1)), records::held(records::id(SERVICE, 2))] {
        service.decided(&record.proposal, &record.verdict);
        service.forecast(&record.outlook);
    }
    let idle = records::nothing(records::id(SERVICE, 3));
    service.decided(&idle.proposal, &idle.verdict);
    let conflict = records::conflict(records::id(SERVICE, 4));
    service.decided(&conflict.proposal, &conflict.verdict);
    service.wrote(&WriteOutcome::Applied);
    service.measured(Impact::Helped);
    service.restarted(ActorRole::Decider);
    service.denied(true);
    service.stood_down(true);
    service.policy_trouble(true);
    service.replicas(Some(2667), 40);
    service.mode(Mode::Shadow);
    metrics
}

#[test]
fn names_help_and_labels() {
    let page = exercised().encode().unwrap();
    // Differs after each commit.
    let page = page.replace(&format!("commit=\"{}\"", flyball::model::build::COMMIT), "commit=\"4d75eac2c0de\"");
    let kept = page.lines().filter(|line| !line.contains("_bucket{"));
    let zeroed = kept.map(|line| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => format!("{series} 0"),
        _ => line.to_owned(),
    });
    let mut lines: Vec<String> = zeroed.collect();
    // The series of a family are unordered.
    lines.chunk_by_mut(|left, right| left.starts_with('#') == right.starts_with('#')).for_each(|chunk| {
        if chunk.iter().all(|line| !line.starts_with('#')) {
            chunk.sort();
        }
    });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn values() {
    let metrics = exercised();
    let page = metrics.encode().unwrap();
    for line in [
        r#"flyball_decisions_total{service="shop/checkout",rule="raise",verdict="pass"} 1"#,
        r#"flyball_decisions_total{service="shop/checkout",rule="raise",verdict="hold"} 1"#,
        r#"flyball_decisions_total{service="shop/checkout",rule="none",verdict="idle"} 2"#,
        r#"flyball_rule_conflicts_total{service="shop/checkout"} 1"#,
        r#"flyball_guard_holds_total{service="shop/checkout",guard="cooldown"} 1"#,
        r#"flyball_mode{service="shop/checkout",mode="shadow"} 1"#,
        r#"flyball_forecast_authority{service="shop/checkout",signal="rps"} 1"#,
        r#"flyball_forecast_skill{service="shop/checkout",signal="rps"} 0.42"#,
        r#"flyball_forecast_skill{service="shop/checkout",signal="p99"} NaN"#,
        r#"flyball_source_errors_total{source="prometheus",fault="timed_out"} 1"#,
        r#"flyball_source_annotations_total{source="prometheus"} 2"#,
        "flyball_kill_switch_engaged 1",
        "flyball_kill_switch_unreadable 1",
        r#"flyball_effects_total{service="shop/checkout",impact="helped"} 1"#,
        r#"flyball_effects_total{service="shop/checkout",impact="hurt"} 0"#,
        r#"flyball_denied{service="shop/checkout"} 1"#,
        r#"flyball_stood_down{service="shop/checkout"} 1"#,
        r#"flyball_policy_trouble{service="shop/checkout"} 1"#,
        r#"flyball_replicas_needed{service="shop/checkout"} 2667.0"#,
        r#"flyball_replicas_max{service="shop/checkout"} 40.0"#,
        "flyball_policy_faults 1",
        "flyball_loops_refused 1",
        "flyball_ready 1",
        "flyball_journal_entries_total 3",
        "# EOF",
    ] {
        assert!(page.lines().any(|found| found == line), "missing {line} in\n{page}");
    }
    assert_eq!(page.matches("flyball_mode{").count(), 1, "one mode at a time");
    assert_eq!(page.matches("flyball_policy_info{").count(), 1, "one policy at a time");

    let scaling = KillOrder { classes: [ActionClass::Scale].into(), ..KillOrder::default() };
    for (state, engaged) in [(KillState::released(), 0), (KillState::readable(scaling), 1)] {
        metrics.process().kill(&state);
        let page = metrics.encode().unwrap();
        assert!(page.contains(&format!("flyball_kill_switch_engaged {engaged}\n")), "{state:?}");
        assert!(page.contains("flyball_kill_switch_unreadable 0\n"), "{state:?}");
    }
}

#[test]
fn what_a_step_under_way_tells_of_a_service_that_left_is_not_shown() {
    let metrics = exercised();
    let service = metrics.service(&records::spec("shop/cart"));
    service.wrote(&WriteOutcome::Applied);
    service.forget();
    service.wrote(&WriteOutcome::Expired);
    service.measured(Impact::Helped);
    let record = records::acted(records::id("shop/cart", 1));
    service.decided(&record.proposal, &record.verdict);
    let page = metrics.encode().unwrap();
    let left: Vec<&str> = page.lines().filter(|line| line.contains("shop/cart")).collect();
    assert_eq!(left, Vec::<&str>::new());
}
