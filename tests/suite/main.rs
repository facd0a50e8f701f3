//! suite

mod oracle;
