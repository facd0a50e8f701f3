//! Charts as SVG text: a frame on the sheet, and lines and areas in its units.

use std::fmt::Write as _;

/// A rectangle of a sheet with a horizontal and a vertical axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Left and right edge, pixels.
    pub across: (f64, f64),
    /// Upper and lower edge, pixels.
    pub down: (f64, f64),
    /// Values at the left and at the right edge.
    pub xs: (f64, f64),
    /// Values at the lower and at the upper edge.
    pub ys: (f64, f64),
}

impl Frame {
    /// Returns the position of a point on the sheet.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low).max(f64::MIN_POSITIVE);
        let (left, right) = self.across;
        let (top, bottom) = self.down;
        (left + share(x, self.xs) * (right - left), bottom - share(y, self.ys) * (bottom - top))
    }

    /// Returns a line through these points.
    pub fn line(&self, points: impl IntoIterator<Item = (f64, f64)>, colour: &str) -> String {
        let points = self.points(points);
        format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>\n")
    }

    /// Returns the area between two edges, each from left to right.
    pub fn area(&self, lower: impl IntoIterator<Item = (f64, f64)>, upper: Vec<(f64, f64)>, colour: &str) -> String {
        let ring = self.points(lower.into_iter().chain(upper.into_iter().rev()));
        format!("<polygon points=\"{ring}\" fill=\"{colour}\"/>\n")
    }

    /// Returns a ring around a point.
    pub fn ring(&self, (x, y): (f64, f64), colour: &str) -> String {
        let (x, y) = self.at(x, y);
        format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n")
    }

    /// Returns names in their colours, above the frame, right to left.
    pub fn legend(&self, names: &[(&str, &str)]) -> String {
        /// Approximate pixels per character.
        const LETTER: f64 = 6.5;
        let mut text = String::new();
        let mut x = self.across.1;
        for (name, colour) in names.iter().rev() {
            let y = self.down.0 - 12.0;
            let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>");
            x -= LETTER * (name.len() as f64 + 3.0);
        }
        text
    }

    /// Returns a label next to the vertical axis.
    pub fn label(&self, y: f64, text: &str) -> String {
        let (x, y) = self.at(self.xs.0, y);
        format!("<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>\n", x - 6.0)
    }

    /// Returns a label below the horizontal axis.
    pub fn mark(&self, x: f64, text: &str) -> String {
        let (x, y) = self.at(x, self.ys.0);
        format!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\n", y + 20.0)
    }

    /// Returns the title above the frame.
    pub fn title(&self, text: &str) -> String {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        format!("<text x=\"{}\" y=\"{}\">{text}</text>\n", self.across.0, self.down.0 - 12.0)
    }

    fn points(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut text = String::new();
        for (x, y) in points {
            let (x, y) = self.at(x, y);
            let _ = write!(text, "{x:.1},{y:.1} ");
        }
        text
    }
}

/// Returns the smallest, middle and largest value of an axis with distinguishable labels.
pub fn labels(low: f64, high: f64) -> [(f64, String); 3] {
    let (largest, step) = (low.abs().max(high.abs()), 0.5 * (high - low));
    let digits = |of: f64| if of > 0.0 { (1.0 - of.log10()).ceil().clamp(0.0, 9.0) as usize } else { 1 };
    [0.0, 0.5, 1.0].map(|share| {
        let value = low + share * (high - low);
        let text = if largest >= 1e7 || (largest > 0.0 && largest < 1e-4) {
            format!("{value:.*e}", digits(step / largest).max(1))
        } else {
            format!("{value:.*}", digits(step))
        };
        // A value that rounds to zero has no sign.
        let zero = text.strip_prefix('-').filter(|text| text.chars().all(|letter| matches!(letter, '0' | '.')));
        (value, zero.map_or(text.clone(), str::to_owned))
    })
}

/// Returns a white sheet of this size, pixels, with `drawn` on it.
pub fn sheet(width: f64, height: f64, drawn: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n{drawn}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_the_values_of_an_axis_apart() {
        let texts = |low, high| labels(low, high).map(|(_, text)| text);
        assert_eq!(texts(0.0, 0.05), ["0.000", "0.025", "0.050"]);
        assert_eq!(texts(-0.0, 1000.0), ["0", "500", "1000"]);
        assert_eq!(texts(-0.04, 0.04), ["-0.040", "0.000", "0.040"]);
        assert_eq!(texts(1e12, 3e12), ["1.00e12", "2.00e12", "3.00e12"]);
        assert_eq!(texts(10_000_000.0, 10_000_060.0), ["1.0000000e7", "1.0000030e7", "1.0000060e7"]);
        assert_eq!(texts(2.0, 2.0), ["2.0", "2.0", "2.0"]);
    }

    #[test]
    fn a_frame_turns_values_into_places_on_the_sheet() {
        let frame = Frame { across: (10.0, 110.0), down: (20.0, 70.0), xs: (0.0, 10.0), ys: (0.0, 5.0) };
        assert_eq!(frame.at(0.0, 0.0), (10.0, 70.0));
        assert_eq!(frame.at(10.0, 5.0), (110.0, 20.0));
        let area = frame.area([(0.0, 0.0), (10.0, 0.0)], vec![(0.0, 5.0), (10.0, 5.0)], "red");
        assert!(area.contains("\"10.0,70.0 110.0,70.0 110.0,20.0 10.0,20.0 \""), "{area}");
        assert!(sheet(120.0, 80.0, &area).ends_with("fill=\"red\"/>\n</svg>"));
    }
}
