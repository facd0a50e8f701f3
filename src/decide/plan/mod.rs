//! What a rule compiles to: conditions and an action as trees over the inputs, evaluated without a script.
//!
//! | file | trees of |
//! |---|---|
//! | [`quantity`] | numbers |
//! | [`condition`] | statements |
//! | [`action`] | what to do, and how far |
//! | [`inputs`] | their leaves: what is known of a service in one cycle |
//! | [`view`] | what is seen of one signal |
//! | [`parameter`] | numbers that each service may set for itself |

pub(crate) mod action;
pub(crate) mod condition;
pub(crate) mod inputs;
pub(crate) mod parameter;
pub(crate) mod quantity;
pub(crate) mod view;
