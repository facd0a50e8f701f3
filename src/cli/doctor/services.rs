//! What services need in the cluster: custom resources of this version, the bound, targets with a free lever.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Findings, MAKE_LISTABLE, NOTHING_IS_WRITTEN};
use crate::adapters::kubernetes::{ApiServer, served, survey};
use crate::config::{Declarations, IntentStore, ServiceSource, Settings};
use crate::model::explain::counted;
use crate::model::{Autoscaling, Mode, ServiceId, ServiceSpec, TargetKind, TargetRef};

/// Checks whether the custom resources that these settings need are served, with the schemas of this version.
pub(super) async fn custom_resources(
    settings: &Settings,
    server: &ApiServer,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let parts: [(bool, &[&str]); 3] = [
        (settings.declarations().is_some(), &["serviceloops", "serviceloops/status", "platformbounds"]),
        (settings.intents == IntentStore::LoopActions, &["loopactions", "loopactions/status"]),
        (settings.leadership.is_some(), &["loopleaders"]),
    ];
    let needed: Vec<&str> =
        parts.iter().filter(|(is_needed, _)| *is_needed).flat_map(|(_, names)| *names).copied().collect();
    if needed.is_empty() {
        return findings.note("services are listed in the settings: no custom resources needed");
    }
    let remedy = "run `flyball crds | kubectl apply --server-side -f -`";
    let found = match survey::custom_resources(server).await {
        Err(error) => return findings.bad(format!("flyball.dev/v1alpha1: {error}"), remedy),
        Ok(found) => found,
    };
    let missing: Vec<&str> = needed.into_iter().filter(|name| !found.iter().any(|found| found == name)).collect();
    if !missing.is_empty() {
        return findings.bad(format!("flyball.dev/v1alpha1 has no {}", missing.join(", ")), remedy);
    }
    match served::differences(server).await {
        Ok(None) => findings.note("flyball.dev/v1alpha1 is served; the server does not show its schemas"),
        Ok(Some(different)) => match different.as_slice() {
            [] => findings.good("flyball.dev/v1alpha1 is served with the schemas of this version"),
            [first, others @ ..] => {
                let others = match others.len() {
                    0 => String::new(),
                    more => format!(" and {}", counted(more, "other place")),
                };
                let what = format!(
                    "flyball.dev/v1alpha1 is served with the schemas of another version: {first} differs{others}"
                );
                findings.bad(what, "using the newer flyball, run `flyball crds | kubectl apply --server-side -f -`")
            }
        },
        Err(error) => findings.bad(format!("the schemas of flyball.dev/v1alpha1: {error}"), "try again"),
    }
}

/// Checks the bound, without which no loop writes.
pub(super) async fn bound(settings: &Settings, server: &ApiServer, findings: &mut Findings) -> anyhow::Result<()> {
    if settings.declarations().is_none() {
        return Ok(());
    }
    match survey::bound(server).await {
        Ok(Ok(bound)) => findings.good(format!("PlatformBound: {bound}")),
        Ok(Err(why)) => findings.bad_until_fixed(why, None, NOTHING_IS_WRITTEN),
        Err(error) => {
            findings.bad_until_fixed(format!("PlatformBound: {error}"), Some(MAKE_LISTABLE), NOTHING_IS_WRITTEN)
        }
    }
}

/// Checks whether the targets of services exist and have a free lever.
pub(super) async fn targets(settings: &Settings, server: &ApiServer, findings: &mut Findings) -> anyhow::Result<()> {
    let services = match &settings.services {
        ServiceSource::Listed(services) => services.clone(),
        ServiceSource::ServiceLoops(declarations) => match survey::loops(server).await {
            Ok(loops) => {
                for ignored in &loops.ignored {
                    findings.bad(ignored.clone(), "recreate it under another name; its `target.name` can stay")?;
                }
                declared(declarations, &loops.declared, findings)?
            }
            Err(error) => return findings.bad(format!("serviceloops: {error}"), MAKE_LISTABLE),
        },
    };
    unsized_ones(&services, findings)?;
    let absent = absent(&services, server, findings).await?;
    let there: Vec<&ServiceSpec> = services.iter().filter(|spec| !absent.contains(&spec.target)).collect();
    levers(&there, server, findings).await
}

/// Names the services that write but declare no capacity: the shipped rules need it to raise.
fn unsized_ones(services: &[ServiceSpec], findings: &mut Findings) -> anyhow::Result<()> {
    for spec in services.iter().filter(|spec| spec.mode == Mode::Auto && spec.capacity.is_none()) {
        findings
            .note(format!("{} is in auto and declares no `capacity`: no rule sizes it by its arrival rate", spec.id))?;
    }
    Ok(())
}

/// Returns the services of the valid loops, and names the faults of the others and the collisions.
fn declared(
    declarations: &Declarations,
    loops: &[(ServiceId, Value)],
    findings: &mut Findings,
) -> anyhow::Result<Vec<ServiceSpec>> {
    let mut valid: Vec<ServiceSpec> = Vec::new();
    for (id, spec) in loops {
        match declarations.read(id, spec) {
            Ok(spec) => valid.push(spec),
            Err(faults) => {
                let faults: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
                findings.bad(format!("ServiceLoop {id}: {}", faults.join(", ")), "fix its spec")?;
            }
        }
    }
    let collisions = declarations.collisions(&valid);
    for (spec, faults) in valid.iter().zip(&collisions).filter(|(_, faults)| !faults.is_empty()) {
        let what = format!("ServiceLoop {} is not active: {}", spec.id, faults.join("; "));
        findings.bad(what, "change or delete one of the two")?;
    }
    let alone = valid.into_iter().zip(collisions).filter(|(_, faults)| faults.is_empty());
    Ok(alone.map(|(spec, _)| spec).collect())
}

/// Names the targets that do not exist, and returns them.
async fn absent(
    services: &[ServiceSpec],
    server: &ApiServer,
    findings: &mut Findings,
) -> anyhow::Result<BTreeSet<TargetRef>> {
    let kinds: BTreeSet<TargetKind> = services.iter().map(|spec| spec.target.kind).collect();
    let mut absent = BTreeSet::new();
    for kind in kinds {
        let there = match survey::targets(server, kind).await {
            Ok(there) => there,
            Err(error) => {
                findings.bad(format!("{}s: {error}", kind.as_str()), MAKE_LISTABLE)?;
                continue;
            }
        };
        let of_kind = services.iter().filter(|spec| spec.target.kind == kind);
        for ServiceSpec { id, target, .. } in of_kind.filter(|spec| !there.contains(&spec.target)) {
            let what = format!("{target} does not exist, so flyball does nothing for {id}");
            findings.bad(what, "create it, or name another `target`")?;
            absent.insert(target.clone());
        }
    }
    Ok(absent)
}

/// Looks for autoscalers on the targets that exist.
async fn levers(services: &[&ServiceSpec], server: &ApiServer, findings: &mut Findings) -> anyhow::Result<()> {
    let autoscalers = match survey::autoscalers(server).await {
        Ok(autoscalers) => autoscalers,
        Err(error) => return findings.bad(format!("autoscalers: {error}"), MAKE_LISTABLE),
    };
    let mut clear = 0;
    for ServiceSpec { id: service, target, .. } in services {
        match autoscalers.on(target) {
            Autoscaling::Nobody => clear += 1,
            Autoscaling::Autoscaler(one) => {
                clear += 1;
                findings.note(format!("HPA {} scales {target}: {service} moves its floor", one.name))?;
            }
            Autoscaling::Closed { why } => findings.bad(
                format!("{target}: {why}; {service} holds"),
                "keep one autoscaler that nothing else writes, or keep the service in `shadow`",
            )?,
        }
    }
    let told = format!("{clear} of {} targets that exist can be scaled by flyball", services.len());
    if clear == services.len() { findings.good(told) } else { findings.note(told) }
}
