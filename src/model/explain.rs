//! A record as people read it: a sentence first, then every condition, guard and number.
