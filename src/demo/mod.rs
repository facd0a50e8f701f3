//! The plant of `sim` served over loopback, so that the ordinary loop with its ordinary adapters can be pointed at it.
//!
//! | file | what |
//! |---|---|
//! | [`kubernetes`] | a Kubernetes API server, as far as flyball meets one |
//! | [`objects`] | the store behind it, and the history of writes |
//! | [`resource`] | the kinds it serves and their JSON |
//! | [`status`] | errors in the API's form |
//! | [`watching`] | watches |
//! | [`faults`] | faults that tests order |
//! | [`connection`] | connections that can be broken off |
//! | [`call`], [`discovery`] | requests taken apart; the documents by which clients find their way |

pub mod call;
pub mod connection;
pub mod discovery;
pub mod faults;
pub mod kubernetes;
pub mod objects;
pub mod resource;
pub mod status;
pub mod watching;
