//! A Kubernetes API double: the server as a controller of replicas sees it, and the store behind it.
//!
//! | file | what |
//! |---|---|
//! | [`server`] | requests and answers |
//! | [`call`] | a parsed request |
//! | [`discovery`] | the discovery documents |
//! | [`objects`] | the store, its versions, and the history of writes |
//! | [`resource`] | the kinds it serves and their JSON |
//! | [`status`] | errors in the API's form |
//! | [`watching`] | watches |

pub mod call;
pub mod discovery;
pub mod objects;
pub mod resource;
pub mod server;
pub mod status;
pub mod watching;

pub use objects::Objects;
pub use server::{KubernetesDouble, router};
