//! Refusals, in the form in which a Kubernetes API server answers them.

use serde_json::{Value, json};

use super::resource::Resource;

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
        /// Which field, and why.
        reason: String,
    },
    /// Cannot be understood.
    Bad(String),
    /// Not a method of this path.
    Method,
    /// Not a patch this server knows.
    PatchType,
    /// The asked-for version has been compacted away.
    Expired,
}

impl Refusal {
    /// Returns the HTTP status code.
    pub fn code(&self) -> u16 {
        match self {
            Self::NotFound { .. } | Self::NoPath => 404,
            Self::Exists { .. } | Self::Conflict { .. } => 409,
            Self::Invalid { .. } => 422,
            Self::Bad(_) => 400,
            Self::Method => 405,
            Self::PatchType => 415,
            Self::Expired => 410,
        }
    }

    /// Returns the `Status` object.
    pub fn body(&self) -> Value {
        let (message, object) = match self {
            Self::NotFound { resource, name } => {
                (format!("{} \"{name}\" not found", resource.qualified()), Some((resource, name)))
            }
            Self::NoPath => ("the server could not find the requested resource".to_owned(), None),
            Self::Exists { resource, name } => {
                (format!("{} \"{name}\" already exists", resource.qualified()), Some((resource, name)))
            }
            Self::Conflict { resource, name } => (
                format!(
                    "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your \
                     changes to the latest version and try again",
                    resource.qualified()
                ),
                Some((resource, name)),
            ),
            Self::Invalid { resource, name, reason } => {
                (format!("{} \"{name}\" is invalid: {reason}", resource.qualified()), Some((resource, name)))
            }
            Self::Bad(reason) => (reason.clone(), None),
            Self::Method => ("the server does not allow this method on the requested resource".to_owned(), None),
            Self::PatchType => (
                "the body of the request was in an unknown format - accepted media types include: \
                 application/merge-patch+json"
                    .to_owned(),
                None,
            ),
            Self::Expired => ("The resourceVersion for the provided watch is too old.".to_owned(), None),
        };
        let mut status = failure(self.code(), &message);
        if let Some((resource, name)) = object {
            let details = json!({ "name": name, "group": resource.group(), "kind": resource.plural() });
            super::resource::set(&mut status, &["details"], details);
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
