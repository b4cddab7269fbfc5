//! Plots as SVG text that stands in a page.

use plotters::prelude::*;

use crate::error::LoadError;

/// Width and height of a plot.
const PIXELS: (u32, u32) = (760, 320);
/// Colours of lines, readable on white and told apart by the colour-blind.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 86, 86),
];

/// How an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Evenly, from 0 on.
    Even,
    /// By decades.
    Decades,
}

/// Lines over a common axis.
pub(crate) struct Plot<'p> {
    pub(crate) title: &'p str,
    pub(crate) x: (&'p str, Axis),
    pub(crate) y: (&'p str, Axis),
    pub(crate) lines: Vec<(&'p str, Vec<(f64, f64)>)>,
}

impl Axis {
    /// Where a value stands; a value that no decade holds stands nowhere.
    fn place(self, value: f64) -> Option<f64> {
        match self {
            Self::Even => Some(value),
            Self::Decades => (value > 0.0).then(|| value.log10()),
        }
    }

    fn label(self, place: f64) -> String {
        let value = if self == Self::Even { place } else { 10_f64.powf(place) };
        match value.abs() {
            v if v >= 1e6 => format!("{:.3}M", value / 1e6),
            v if v >= 1e4 => format!("{:.0}k", value / 1e3),
            v if v >= 100.0 || v.fract() == 0.0 => format!("{value:.0}"),
            _ => format!("{value:.2}"),
        }
    }

    /// The places from which to which an axis goes.
    fn span(self, places: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let max = places.clone().fold(f64::NEG_INFINITY, f64::max);
        let min = places.fold(f64::INFINITY, f64::min);
        match self {
            _ if !(min.is_finite() && max.is_finite()) => (0.0, 1.0),
            Self::Even => (0.0, if max > 0.0 { max * 1.05 } else { 1.0 }),
            Self::Decades => (min.floor(), max.ceil().max(min.floor() + 1.0)),
        }
    }
}

impl Plot<'_> {
    /// Draws it.
    pub(crate) fn svg(&self) -> Result<String, LoadError> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|e| LoadError::Plot(format!("{}: {e}", self.title)))?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let placed: Vec<(&str, Vec<(f64, f64)>)> =
            self.lines.iter().map(|(n, l)| (*n, self.placed(l))).collect();
        let points = || placed.iter().flat_map(|(_, line)| line.iter());
        let (x0, x1) = self.x.1.span(points().map(|p| p.0));
        let (y0, y1) = self.y.1.span(points().map(|p| p.1));
        let root = SVGBackend::with_string(svg, PIXELS).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(x0..x1, y0..y1)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .x_label_formatter(&|place| self.x.1.label(*place))
            .y_label_formatter(&|place| self.y.1.label(*place))
            .draw()?;
        for ((name, line), colour) in placed.iter().zip(COLOURS.iter().cycle()) {
            let series = LineSeries::new(line.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(series)?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        if placed.len() > 1 {
            let labels = &mut chart.configure_series_labels();
            labels
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK)
                .draw()?;
        }
        root.present()?;
        Ok(())
    }

    fn placed(&self, line: &[(f64, f64)]) -> Vec<(f64, f64)> {
        line.iter().filter_map(|(x, y)| Some((self.x.1.place(*x)?, self.y.1.place(*y)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_are_drawn_whatever_the_points_are() {
        let check = |axis, points: Vec<(f64, f64)>| {
            let lines = vec![("one", points.clone()), ("two", points)];
            let svg = Plot { title: "title", x: ("x", axis), y: ("y", axis), lines }.svg().unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("</svg>") && svg.contains("title"), "{svg}");
            svg.matches("<polyline").count()
        };
        for axis in [Axis::Even, Axis::Decades] {
            let few = check(axis, vec![]);
            assert!(check(axis, vec![(1.0, 10.0), (2.0, 1000.0)]) > few, "{axis:?}");
            check(axis, vec![(0.0, 0.0)]);
            check(axis, vec![(1.0, 1.0)]);
        }
    }
}
