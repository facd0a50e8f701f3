//! Walks an answer of the query API series by series. Texts are borrowed from the body and nothing is collected: a
//! series goes to its [`Sink`] as soon as it has been read, so an answer of many millions of tiny series needs no more
//! memory than its body.
//!
//! The format: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::http::short;
use crate::model::Finite;
use crate::ports::telemetry::Members;
use crate::ports::{SourceError, Template};

/// Most annotations kept per answer; a server sends ten.
const MOST_ANNOTATIONS: usize = 20;

/// The consumer of an answer's series.
pub(super) trait Sink {
    /// The result type it accepts.
    const RESULT: &'static str;
    /// The key of the numbers in a series of that type.
    const NUMBERS: &'static str;

    /// Reads the numbers of the current series.
    fn numbers<'de, D: Deserializer<'de>>(&mut self, numbers: D) -> Result<(), D::Error>;

    /// Ends the current series, which may have had no numbers; `place` is the service it belongs to, if any.
    fn end(&mut self, place: Option<usize>);
}

/// Returns the remark on an answer in which some series have no number or an unexpected form: these places are missing,
/// the others are still trusted.
pub(super) fn without_number(series: u64) -> String {
    format!(
        "{series} series without a number, such as a native histogram: wrap the query in a function such as \
         `histogram_quantile`"
    )
}

/// A point of a series: its time in seconds, and its number as text. `None` for anything of another form.
#[derive(Default)]
pub(super) struct Point<'a> {
    pub(super) time: Option<f64>,
    pub(super) number: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Point<'de> {
    fn deserialize<D: Deserializer<'de>>(point: D) -> Result<Self, D::Error> {
        let [time, number] = match point.deserialize_any(AnyForm)? {
            Form::List([first, second]) => [first, second],
            _ => [None, None],
        };
        let time = time.and_then(|time| if let Scalar::Number(time) = time { Some(time) } else { None });
        let number = number.and_then(|number| if let Scalar::Text(text) = number { Some(text) } else { None });
        Ok(Self { time, number })
    }
}

/// A value that may be part of a point.
enum Scalar<'a> {
    Number(f64),
    Text(Cow<'a, str>),
}

/// Any value, to the extent points need it.
enum Form<'a> {
    One(Scalar<'a>),
    List([Option<Scalar<'a>>; 2]),
    Other,
}

struct AnyForm;

impl<'de> DeserializeSeed<'de> for AnyForm {
    type Value = Form<'de>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Form<'de>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyForm {
    type Value = Form<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Form<'de>, E> {
        Ok(Form::Other)
    }

    fn visit_unit<E>(self) -> Result<Form<'de>, E> {
        Ok(Form::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Form<'de>, E> {
        Ok(Form::One(Scalar::Number(number as f64)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Form<'de>, E> {
        Ok(Form::One(Scalar::Number(number as f64)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Form<'de>, E> {
        Ok(Form::One(Scalar::Number(number)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Form<'de>, E> {
        Ok(Form::One(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Form<'de>, E> {
        Ok(Form::One(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    /// A longer list is not a point.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Form<'de>, A::Error> {
        let mut found = [None, None];
        for slot in &mut found {
            let Some(one) = list.next_element_seed(Self)? else { return Ok(Form::List(found)) };
            *slot = if let Form::One(scalar) = one { Some(scalar) } else { None };
        }
        if list.next_element::<IgnoredAny>()?.is_none() {
            return Ok(Form::List(found));
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Form::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Form::Other)
    }
}

/// A text of the answer, borrowed unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Returns the number in a text of the answer; `None` if it is not a finite number.
pub(super) fn number(text: &str) -> Option<Finite> {
    text.parse().ok().and_then(Finite::new)
}

/// Reads a successful answer into `sink`, and returns the server's remarks on the query.
pub(super) fn read<S: Sink>(body: &[u8], template: &Template, sink: &mut S) -> Result<Vec<String>, SourceError> {
    let mut head = Head::default();
    let mut walk = Walk {
        labels: &template.labels,
        members: &template.members,
        values: vec![None; template.labels.len()],
        scratch: Vec::new(),
        sink,
    };
    let body = std::str::from_utf8(body).map_err(|error| SourceError::Malformed(error.to_string()))?;
    let mut json = serde_json::Deserializer::from_str(body);
    let walked = Envelope { head: &mut head, walk: &mut walk }.deserialize(&mut json).and_then(|()| json.end());
    if let Err(error) = walked {
        return Err(SourceError::Malformed(short(&error.to_string())));
    }
    head.check(S::RESULT)
}

/// Returns the text of an error answer.
pub(super) fn error_text(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Failure<'a> {
        #[serde(borrow)]
        error: Cow<'a, str>,
    }
    serde_json::from_slice::<Failure<'_>>(body).ok().map(|failure| short(&failure.error))
}

/// The part of an answer outside its data.
#[derive(Debug, Default)]
struct Head {
    success: bool,
    error: Option<String>,
    /// A warning that data may be missing.
    warning: Option<String>,
    /// Remarks of the query engine on a complete answer.
    annotations: Vec<String>,
    partial: bool,
    result: Option<String>,
}

impl Head {
    fn warned(&mut self, text: &str) {
        if !is_annotation(text) {
            self.warning.get_or_insert_with(|| short(text));
        } else if self.annotations.len() < MOST_ANNOTATIONS {
            self.annotations.push(short(text));
        }
    }

    /// An answer with warnings may lack part of its data, and a partial value looks like a drop.
    fn check(self, expected: &str) -> Result<Vec<String>, SourceError> {
        if !self.success {
            let message = self.error.unwrap_or_else(|| "status is not `success`, but there is no error".to_owned());
            return Err(SourceError::Status { status: 200, message });
        }
        if let Some(warning) = self.warning {
            return Err(SourceError::Malformed(format!("the server warns: {warning}")));
        }
        if self.partial {
            return Err(SourceError::Malformed("the server marked its answer as partial".to_owned()));
        }
        match self.result {
            Some(found) if found == expected => Ok(self.annotations),
            Some(found) => Err(SourceError::Malformed(wrong_type(&found, expected))),
            None => Err(SourceError::Malformed("the answer has no data".to_owned())),
        }
    }
}

/// Returns whether a warning is only the engine's remark on a computation over complete data, such as a metric whose
/// name is not that of a counter, or buckets that do not add up. One series of one service may cause it. Prometheus
/// 2.48 to 2.53 and Thanos put both kinds among the warnings. A truncated list (`4 more warning annotations omitted`)
/// may have lost a warning about missing data, so it does not count as a remark.
///
/// Source: <https://github.com/prometheus/prometheus/blob/main/util/annotations/annotations.go>.
fn is_annotation(text: &str) -> bool {
    text.starts_with("PromQL info:")
        || text.starts_with("PromQL warning:")
        || text.ends_with(" more info annotations omitted")
}

fn wrong_type(found: &str, expected: &str) -> String {
    format!("result type is {}, expected {expected}; check the query", short(found))
}

/// The walk over one answer.
struct Walk<'a, 'de, S> {
    labels: &'a [Arc<str>],
    members: &'a Members,
    /// Label values of the current series.
    values: Vec<Option<Cow<'de, str>>>,
    scratch: Vec<u8>,
    sink: &'a mut S,
}

impl<S: Sink> Walk<'_, '_, S> {
    fn place(&mut self) -> Option<usize> {
        if self.values.iter().any(Option::is_none) {
            return None;
        }
        self.members.place(self.values.iter().flatten().map(AsRef::as_ref), &mut self.scratch)
    }
}

struct Envelope<'w, 'a, 'de, S> {
    head: &'w mut Head,
    walk: &'w mut Walk<'a, 'de, S>,
}

impl<'de, S: Sink> DeserializeSeed<'de> for Envelope<'_, '_, 'de, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Envelope<'_, '_, 'de, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the query API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            match key.as_ref() {
                "status" => self.head.success = map.next_value::<Text<'_>>()?.0 == "success",
                "error" => self.head.error = Some(short(&map.next_value::<Text<'_>>()?.0)),
                "warnings" => {
                    for Text(text) in map.next_value::<Option<Vec<Text<'_>>>>()?.unwrap_or_default() {
                        self.head.warned(&text);
                    }
                }
                "isPartial" => self.head.partial = map.next_value()?,
                "data" => map.next_value_seed(Data { head: self.head, walk: self.walk })?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Data<'w, 'a, 'de, S> {
    head: &'w mut Head,
    walk: &'w mut Walk<'a, 'de, S>,
}

impl<'de, S: Sink> DeserializeSeed<'de> for Data<'_, '_, 'de, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Data<'_, '_, 'de, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data of the query API")
    }

    /// Errors come without data.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            match key.as_ref() {
                "resultType" => {
                    let Text(found) = map.next_value()?;
                    if found != S::RESULT {
                        return Err(A::Error::custom(wrong_type(&found, S::RESULT)));
                    }
                    self.head.result = Some(found.into_owned());
                }
                "result" => map.next_value_seed(List(self.walk))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct List<'w, 'a, 'de, S>(&'w mut Walk<'a, 'de, S>);

impl<'de, S: Sink> DeserializeSeed<'de> for List<'_, '_, 'de, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for List<'_, '_, 'de, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Series(self.0))?.is_some() {}
        Ok(())
    }
}

struct Series<'w, 'a, 'de, S>(&'w mut Walk<'a, 'de, S>);

impl<'de, S: Sink> DeserializeSeed<'de> for Series<'_, '_, 'de, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Series<'_, '_, 'de, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.values.fill(None);
        while let Some(Text(key)) = map.next_key()? {
            if key == "metric" {
                map.next_value_seed(Metric(self.0))?;
            } else if key == S::NUMBERS {
                map.next_value_seed(Numbers(self.0.sink))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let place = self.0.place();
        self.0.sink.end(place);
        Ok(())
    }
}

struct Numbers<'w, S>(&'w mut S);

impl<'de, S: Sink> DeserializeSeed<'de> for Numbers<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.0.numbers(json)
    }
}

struct Metric<'w, 'a, 'de, S>(&'w mut Walk<'a, 'de, S>);

impl<'de, S: Sink> DeserializeSeed<'de> for Metric<'_, '_, 'de, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Metric<'_, '_, 'de, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labels of a series")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(label)) = map.next_key()? {
            let wanted = self.0.labels.iter().position(|name| **name == *label);
            match wanted.and_then(|position| self.0.values.get_mut(position)) {
                Some(slot) => *slot = Some(map.next_value::<Text<'de>>()?.0),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}
