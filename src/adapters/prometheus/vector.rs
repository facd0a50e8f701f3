//! Instant answers: one slot per service.

use serde::de::{Deserialize, Deserializer};

use super::parse::{self, Point, Sink};
use crate::model::Finite;
use crate::ports::{SourceError, Template};

/// What an answer has for one service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Slot {
    /// No series.
    Empty,
    /// One series with a finite value.
    Value(Finite),
    /// One series whose value is not a finite number.
    NotFinite,
    /// One series without a number: a native histogram, or a value of another form.
    NoNumber,
    /// Several series where one was expected.
    Several(usize),
}

/// An instant vector, sorted by service.
#[derive(Debug)]
pub(super) struct Vector {
    /// One per place of the template.
    pub(super) slots: Vec<Slot>,
    /// Series that belong to no service.
    pub(super) unmatched: u64,
    /// The server's remarks on the query.
    pub(super) annotations: Vec<String>,
    without_number: u64,
    current: Option<Slot>,
}

/// Reads the answer to an instant query.
pub(super) fn read(body: &[u8], template: &Template) -> Result<Vector, SourceError> {
    let slots = vec![Slot::Empty; template.width];
    let mut vector = Vector { slots, unmatched: 0, annotations: Vec::new(), without_number: 0, current: None };
    vector.annotations = parse::read(body, template, &mut vector)?;
    if vector.without_number > 0 {
        vector.annotations.push(parse::without_number(vector.without_number));
    }
    Ok(vector)
}

impl Sink for Vector {
    const RESULT: &'static str = "vector";
    const NUMBERS: &'static str = "value";

    fn numbers<'de, D: Deserializer<'de>>(&mut self, numbers: D) -> Result<(), D::Error> {
        // The time is that of the evaluation, not of the sample.
        let Point { number, .. } = Deserialize::deserialize(numbers)?;
        self.current = number.map(|text| parse::number(&text).map_or(Slot::NotFinite, Slot::Value));
        Ok(())
    }

    fn end(&mut self, place: Option<usize>) {
        let current = self.current.take().unwrap_or_else(|| {
            self.without_number = self.without_number.saturating_add(1);
            Slot::NoNumber
        });
        match place.and_then(|place| self.slots.get_mut(place)) {
            Some(slot) => {
                *slot = match *slot {
                    Slot::Empty => current,
                    Slot::Value(_) | Slot::NotFinite | Slot::NoNumber => Slot::Several(2),
                    Slot::Several(series) => Slot::Several(series.saturating_add(1)),
                }
            }
            None => self.unmatched = self.unmatched.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::SignalName;

    fn template(width: usize) -> Template {
        let member = |place: usize| (vec![Arc::from("shop"), Arc::from(format!("s{place}"))], place);
        Template {
            signal: SignalName::new("rps").unwrap(),
            query: "q".into(),
            samples: "s".into(),
            labels: vec!["namespace".into(), "service".into()],
            members: Arc::new((0..width).map(member).collect()),
            width,
        }
    }

    fn answer(series: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#)
    }

    fn series(service: &str, value: &str) -> String {
        format!(r#"{{"metric":{{"namespace":"shop","service":"{service}"}},"value":[1700000000.1,"{value}"]}}"#)
    }

    fn finite(value: f64) -> Slot {
        Slot::Value(Finite::new(value).unwrap())
    }

    #[test]
    fn p5_only_finite_numbers_are_values() {
        let cases = [
            ("1.5", finite(1.5)),
            ("-3e2", finite(-300.0)),
            ("-0", finite(0.0)),
            ("5e-324", finite(5e-324)),
            ("1e-999", finite(0.0)),
            ("NaN", Slot::NotFinite),
            ("+Inf", Slot::NotFinite),
            ("-Inf", Slot::NotFinite),
            ("1e999", Slot::NotFinite),
            ("", Slot::NotFinite),
            (" 1", Slot::NotFinite),
            ("12 apples", Slot::NotFinite),
            ("0x10", Slot::NotFinite),
        ];
        for (text, expected) in cases {
            let vector = read(answer(&series("s0", text)).as_bytes(), &template(1)).unwrap();
            assert_eq!(vector.slots, [expected], "{text}");
        }
    }

    #[test]
    fn p6_series_find_their_service_or_are_unmatched() {
        let body = answer(
            &[
                series("s1", "1"),
                series("s2", "2"),
                series("s2", "3"),
                series("s2", "NaN"),
                series("other", "4"),
                r#"{"metric":{"service":"s0"},"value":[1,"5"]}"#.to_owned(),
                r#"{"metric":{},"value":[1,"6"]}"#.to_owned(),
                r#"{"value":[1,"7"],"metric":{"x":"y","service":"s\u0033","namespace":"shop"}}"#.to_owned(),
            ]
            .join(","),
        );
        let vector = read(body.as_bytes(), &template(5)).unwrap();
        assert_eq!(vector.slots, [Slot::Empty, finite(1.0), Slot::Several(3), finite(7.0), Slot::Empty]);
        assert_eq!(vector.unmatched, 3);
    }

    #[test]
    fn p4_what_is_not_a_vector_is_malformed() {
        let cases = [
            ("", "EOF"),
            ("<html>busy</html>", "expected value"),
            (r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"#, "EOF"),
            (r#"{"status":"success"}"#, "no data"),
            (r#"{"status":"success","data":null}"#, "no data"),
            (r#"{"status":"success","data":{"result":[]}}"#, "no data"),
            (r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#, "scalar, expected vector"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#, "matrix, expected vector"),
            (r#"{"status":"success","data":{"resultType":"string","result":[1,"2"]}}"#, "string, expected vector"),
            (r#"{"status":"success","data":{"result":[1,"2"],"resultType":"scalar"}}"#, "expected a series"),
            (r#"{"status":"success","data":{"resultType":"vector","result":[]}} {}"#, "trailing"),
            (
                r#"{"status":"success","warnings":["store 3 down"],"data":{"resultType":"vector","result":[]}}"#,
                "store 3 down",
            ),
            (r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}"#, "partial"),
        ];
        for (body, expected) in cases {
            match read(body.as_bytes(), &template(1)) {
                Err(SourceError::Malformed(text)) => assert!(text.contains(expected), "{body}: {text}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    /// A native histogram is such a series; wherever it belongs, the others have their values.
    #[test]
    fn inv_14_a_series_without_a_number_is_missing_at_its_own_place_alone() {
        let theirs = r#"{"metric":{"namespace":"other-team","service":"theirs"},"#;
        let ours = r#"{"metric":{"namespace":"shop","service":"s1"},"#;
        let histogram = r#""histogram":[1700000000,{"count":"4","sum":"1","buckets":[[0,"1","2","4"]]}]}"#;
        let odd = [histogram, r#""x":1}"#].map(str::to_owned).into_iter().chain(
            ["[1,2]", r#"["1"]"#, "[]", "7", "null", "true", r#""7""#, "{}", r#"{"a":[1]}"#, r#"[1,"2",3]"#, "[1,[2]]"]
                .map(|odd| format!(r#""value":{odd}}}"#)),
        );
        for odd in odd {
            let vector =
                read(answer(&format!("{theirs}{odd},{}", series("s0", "5"))).as_bytes(), &template(2)).unwrap();
            assert_eq!((vector.slots, vector.unmatched), (vec![finite(5.0), Slot::Empty], 1), "{odd}");
            let body = answer(&format!("{ours}{odd},{}", series("s0", "5")));
            let vector = read(body.as_bytes(), &template(2)).unwrap();
            assert_eq!(vector.slots, [finite(5.0), Slot::NoNumber], "{odd}");
            assert!(vector.annotations[0].starts_with("1 series without a number"), "{:?}", vector.annotations);
        }
        let both = answer(&format!("{},{ours}{histogram}", series("s1", "5")));
        assert_eq!(read(both.as_bytes(), &template(2)).unwrap().slots, [Slot::Empty, Slot::Several(2)]);
    }

    #[test]
    fn p4_a_success_that_carries_an_error_is_one() {
        let body = r#"{"status":"error","errorType":"bad_data","error":"parse error\nat char 7","data":null}"#;
        let error = read(body.as_bytes(), &template(1)).unwrap_err();
        assert_eq!(error, SourceError::Status { status: 200, message: "parse error at char 7".to_owned() });
    }

    #[test]
    fn empty_warnings_and_unknown_fields_are_no_fault() {
        let body = r#"{"status":"success","warnings":[],"infos":["x"],"isPartial":false,
            "data":{"resultType":"vector","result":[],"stats":{"a":[1]}}}"#;
        assert_eq!(read(body.as_bytes(), &template(1)).unwrap().slots, [Slot::Empty]);
    }

    #[test]
    fn p11_a_huge_label_and_deep_nesting_are_survived() {
        let wide = answer(&series(&"x".repeat(1 << 20), "1"));
        assert_eq!(read(wide.as_bytes(), &template(1)).unwrap().unmatched, 1);
        let deep = format!(r#"{{"status":"success","x":{}"#, "[".repeat(100_000));
        assert!(matches!(read(deep.as_bytes(), &template(1)), Err(SourceError::Malformed(_))));
    }

    /// Optimised code takes a few milliseconds. The bound is for a debug build; it catches growth with the square of
    /// the fleet.
    #[test]
    fn ten_thousand_series_each_find_their_place_in_little_time() {
        let template = template(10_000);
        let all: Vec<String> =
            (0..10_000).rev().map(|place| series(&format!("s{place}"), &place.to_string())).collect();
        let body = answer(&all.join(","));
        let begin = cpu_time::ThreadTime::now();
        let vector = read(body.as_bytes(), &template).unwrap();
        let spent = begin.elapsed();
        assert!(vector.slots.iter().enumerate().all(|(place, slot)| *slot == finite(place as f64)));
        assert_eq!(vector.unmatched, 0);
        println!("{} bytes in {spent:?}", body.len());
        assert!(spent < std::time::Duration::from_secs(1), "{spent:?}");
    }

    proptest! {
        #[test]
        fn p4_any_bytes_give_an_answer_or_a_short_error(body in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Err(error) = read(&body, &template(2)) {
                prop_assert!(error.to_string().len() < 1200);
            }
        }

        #[test]
        fn p4_an_answer_cut_or_changed_anywhere_never_panics(cut in 0..400_usize, place in 0..400_usize, byte in any::<u8>()) {
            let mut body = answer(&[series("s0", "1"), series("s1", "NaN")].join(",")).into_bytes();
            if let Some(changed) = body.get_mut(place) {
                *changed = byte;
            }
            body.truncate(cut);
            let _ = read(&body, &template(2));
        }

        #[test]
        fn p5_every_text_is_a_finite_number_or_not_finite(text in "[ -~]{0,30}") {
            let text = text.replace(['"', '\\'], "");
            let vector = read(answer(&series("s0", &text)).as_bytes(), &template(1)).unwrap();
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            prop_assert_eq!(vector.slots[0], number.map_or(Slot::NotFinite, finite));
        }
    }
}
