//! The JSON of the HTTP API of Prometheus (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::model::ServiceId;

use super::queries::LABELS;

/// One series of an answer: the service and its points (time in seconds, value).
#[derive(Debug, Clone, PartialEq)]
pub struct Series<'a> {
    /// Its service.
    pub service: &'a ServiceId,
    /// Its points, oldest first.
    pub points: Vec<(f64, f64)>,
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One point for each series.
    Vector,
    /// All points of each series.
    Matrix,
}

/// Returns an answer. Labels are DNS labels and numbers are finite, so nothing needs escaping.
pub fn success(form: Form, series: &[Series<'_>]) -> String {
    let kind = match form {
        Form::Vector => "vector",
        Form::Matrix => "matrix",
    };
    let points: usize = series.iter().map(|series| series.points.len()).sum();
    let mut text = String::with_capacity(100 + 80 * series.len() + 32 * points);
    let _ = write!(text, r#"{{"status":"success","data":{{"resultType":"{kind}","result":["#);
    for (index, series) in series.iter().enumerate() {
        text.push_str(if index > 0 { "," } else { "" });
        one(&mut text, form, series);
    }
    text.push_str("]}}");
    text
}

fn one(text: &mut String, form: Form, series: &Series<'_>) {
    let [namespace, service] = LABELS;
    let id = series.service;
    let _ = write!(text, r#"{{"metric":{{"{namespace}":"{}","{service}":"{}"}}"#, id.namespace(), id.name());
    text.push_str(match form {
        Form::Vector => r#","value":"#,
        Form::Matrix => r#","values":["#,
    });
    for (index, (time, value)) in series.points.iter().enumerate() {
        text.push_str(if index > 0 { "," } else { "" });
        let _ = write!(text, r#"[{time},"{value}"]"#);
    }
    text.push_str(match form {
        Form::Vector => "}",
        Form::Matrix => "]}",
    });
}

/// A refused request, answered as Prometheus does: status 400, type `bad_data`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadData(pub String);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    status: &'a str,
    error_type: &'a str,
    error: &'a str,
}

impl IntoResponse for BadData {
    fn into_response(self) -> Response {
        let body = ErrorBody { status: "error", error_type: "bad_data", error: &self.0 };
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}

/// Returns a response with this JSON text.
pub fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_documented_form() {
        let id: ServiceId = "shop/search".parse().unwrap();
        let series = |points: &[(f64, f64)]| vec![Series { service: &id, points: points.to_vec() }];
        assert_eq!(
            success(Form::Vector, &series(&[(1_770_000_015.25, 12.5)])),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"namespace":"shop","service":"search"},"value":[1770000015.25,"12.5"]}]}}"#
        );
        assert_eq!(
            success(Form::Matrix, &series(&[(60.0, 0.0), (120.0, 1e-7)])),
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"namespace":"shop","service":"search"},"values":[[60,"0"],[120,"0.0000001"]]}]}}"#
        );
        assert_eq!(success(Form::Vector, &[]), r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#);
    }
}
