//! The paths under `/api/v1`: how each is served and described, in one place. The description itself is served
//! alongside them.

use axum::routing::{MethodRouter, get};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::model::DecisionRecord;
use crate::ports::{Declaration, PolicyStatus, ServiceSnapshot, Status};

use super::answers::{DecisionSummary, Decisions, Forecast, Services};
use super::{Console, api};

/// Describes a type to the generator.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// One path.
pub(super) struct Operation {
    /// The path, with `{name}` for a parameter.
    pub(super) path: &'static str,
    /// Its handler.
    pub(super) handler: MethodRouter<Console>,
    /// Its answer, in one line.
    pub(super) summary: &'static str,
    /// The type of its query parameters.
    pub(super) query: Option<Describe>,
    /// The type of its answer.
    pub(super) answer: Describe,
    /// Whether it can also answer in plain text.
    pub(super) text: bool,
}

impl Operation {
    fn new<A: JsonSchema>(path: &'static str, summary: &'static str, handler: MethodRouter<Console>) -> Self {
        Self { path, handler, summary, query: None, answer: SchemaGenerator::subschema_for::<A>, text: false }
    }

    /// Adds query parameters: the fields of `Q`.
    fn asks<Q: JsonSchema>(self) -> Self {
        Self { query: Some(Q::json_schema), ..self }
    }
}

/// Returns all paths.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Status>("/api/v1/status", "Readiness, policy set, kill switch", get(api::status)),
        Operation::new::<PolicyStatus>(
            "/api/v1/policy",
            "The active policy sets, the services they bind, and any candidates",
            get(api::policy),
        ),
        Operation::new::<Services>("/api/v1/services", "All services, in summary", get(api::services))
            .asks::<api::Page>(),
        Operation::new::<ServiceSnapshot>(
            "/api/v1/services/{namespace}/{name}",
            "One service with its features and outlook",
            get(api::service),
        ),
        Operation::new::<Declaration>(
            "/api/v1/services/{namespace}/{name}/declaration",
            "The declaration of one service, from the settings or its ServiceLoop",
            get(api::declaration),
        ),
        Operation::new::<Decisions<DecisionSummary>>(
            "/api/v1/decisions",
            "The newest decisions, in summary",
            get(api::decisions),
        )
        .asks::<api::Which>(),
        Operation::new::<Decisions<DecisionRecord>>(
            "/api/v1/records",
            "The newest decisions, as full records",
            get(api::records),
        )
        .asks::<api::Which>(),
        Operation {
            text: true,
            ..Operation::new::<DecisionRecord>(
                "/api/v1/decisions/{namespace}/{name}/{cycle}",
                "One decision record, as data or explained",
                get(api::decision),
            )
            .asks::<api::Form>()
        },
        Operation::new::<Forecast>(
            "/api/v1/forecast",
            "The forecasts of one service and the replicas they require",
            get(api::forecast),
        )
        .asks::<api::Whose>(),
    ]
}
