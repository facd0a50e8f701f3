//! Refusals, in the form of a Kubernetes API server.

use serde_json::{Value, json};

use super::resource::{Resource, set};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// No such object.
    NotFound {
        /// Its kind.
        resource: Resource,
        /// Its name.
        name: String,
    },
    /// No such path.
    NoPath,
    /// Exists already.
    Exists {
        /// Its kind.
        resource: Resource,
        /// Its name.
        name: String,
    },
    /// Changed since the client read it.
    Conflict {
        /// Its kind.
        resource: Resource,
        /// Its name.
        name: String,
    },
    /// May not be stored.
    Invalid {
        /// Its kind.
        resource: Resource,
        /// Its name.
        name: String,
        /// The field, and why.
        reason: String,
    },
    /// May not be stored as the scale of an object.
    InvalidScale {
        /// The object's name.
        name: String,
        /// The field, and why.
        reason: String,
    },
    /// Malformed.
    Bad(String),
    /// Holds a value of the wrong type or size.
    Undecodable(String),
    /// The same, in a patch.
    UndecodablePatch(String),
    /// Method not allowed for this path.
    Method,
    /// Unsupported patch type.
    PatchType,
    /// The requested version has been compacted away.
    Expired,
}

impl Refusal {
    /// Returns the refusal to report when a patch, of the object itself or of its scale, is refused for this reason.
    #[must_use]
    pub fn of_patch(self, scale: bool) -> Self {
        match self {
            Self::Invalid { name, reason, .. } if scale => Self::InvalidScale { name, reason },
            Self::Undecodable(reason) => Self::UndecodablePatch(reason),
            other => other,
        }
    }

    /// Returns the HTTP status code.
    pub fn code(&self) -> u16 {
        match self {
            Self::NotFound { .. } | Self::NoPath => 404,
            Self::Exists { .. } | Self::Conflict { .. } => 409,
            Self::Invalid { .. } | Self::InvalidScale { .. } | Self::UndecodablePatch(_) => 422,
            Self::Bad(_) | Self::Undecodable(_) => 400,
            Self::Method => 405,
            Self::PatchType => 415,
            Self::Expired => 410,
        }
    }

    /// Returns the `Status` object.
    pub fn body(&self) -> Value {
        let of = |resource: &Resource, name: &String| {
            let mut details = json!({ "name": name, "kind": resource.plural() });
            if !resource.group().is_empty() {
                set(&mut details, &["group"], json!(resource.group()));
            }
            Some(details)
        };
        let (message, details) = match self {
            Self::NotFound { resource, name } => {
                (format!("{} \"{name}\" not found", resource.qualified()), of(resource, name))
            }
            Self::NoPath => ("the server could not find the requested resource".to_owned(), None),
            Self::Exists { resource, name } => {
                (format!("{} \"{name}\" already exists", resource.qualified()), of(resource, name))
            }
            Self::Conflict { resource, name } => (
                format!(
                    "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your \
                     changes to the latest version and try again",
                    resource.qualified()
                ),
                of(resource, name),
            ),
            Self::Invalid { resource, name, reason } => {
                (format!("{} \"{name}\" is invalid: {reason}", resource.qualified()), of(resource, name))
            }
            Self::InvalidScale { name, reason } => (
                format!("Scale.autoscaling \"{name}\" is invalid: {reason}"),
                Some(json!({ "name": name, "group": "autoscaling", "kind": "Scale" })),
            ),
            Self::Bad(reason) | Self::Undecodable(reason) => (reason.clone(), None),
            Self::UndecodablePatch(reason) => (format!(" \"\" is invalid: patch: {reason}"), None),
            Self::Method => ("the server does not allow this method on the requested resource".to_owned(), None),
            Self::PatchType => ("415: Unsupported Media Type".to_owned(), None),
            Self::Expired => ("The resourceVersion for the provided watch is too old.".to_owned(), None),
        };
        let mut status = failure(self.code(), &message);
        if let Some(details) = details {
            set(&mut status, &["details"], details);
        }
        if matches!(self, Self::Exists { .. }) {
            set(&mut status, &["reason"], json!("AlreadyExists"));
        }
        status
    }
}

/// Returns a `Status` object for any failure code.
pub fn failure(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason(code), "code": code,
    })
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}
