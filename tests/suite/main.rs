//! suite

mod kubernetes_double;
