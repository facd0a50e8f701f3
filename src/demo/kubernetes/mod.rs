//! A Kubernetes API double: the server a controller of replicas would meet, and the store behind it.
//!
//! | file | what |
//! |---|---|
//! | [`server`] | requests and answers |
//! | [`call`] | a request taken apart |
//! | [`discovery`] | the documents by which clients find their way |
//! | [`objects`] | the store, its versions, and the history of writes |
//! | [`resource`] | the kinds it serves and their JSON |
//! | [`status`] | errors in the API's form |
//! | [`watching`] | watches |
//! | [`faults`] | faults that tests order |
//! | [`connection`] | connections that can be broken off |

pub mod call;
pub mod connection;
pub mod discovery;
pub mod faults;
pub mod objects;
pub mod resource;
pub mod server;
pub mod status;
pub mod watching;

pub use objects::Objects;
pub use server::KubernetesDouble;
