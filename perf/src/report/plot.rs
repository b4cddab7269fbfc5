//! Plots as SVG: lines over numbers, and bars side by side over groups.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{PerfError, Result};

const SIZE: (u32, u32) = (860, 460);
/// Told apart by people who see colours differently, too.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 50, 32),
    RGBColor(0, 140, 110),
    RGBColor(230, 160, 0),
    RGBColor(120, 94, 240),
    RGBColor(90, 90, 90),
    RGBColor(200, 90, 160),
];
/// Share of a group's width that its bars take.
const GROUP_WIDTH: f64 = 0.8;

/// Lines over a number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) series: Vec<Line>,
    /// Stretches of x with a name, shaded.
    pub(crate) marks: Vec<(String, f64, f64)>,
}

/// One line of [`Lines`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Dashed: not measured, but what could be at best.
    pub(crate) ideal: bool,
}

/// Bars over groups: one value of each series for each group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) y: String,
    pub(crate) groups: Vec<String>,
    /// Name, values; one that is missing leaves a gap.
    pub(crate) series: Vec<(String, Vec<Option<f64>>)>,
}

fn color(index: usize) -> RGBColor {
    COLORS[index % COLORS.len()]
}

/// The page that `draw` draws.
fn svg(draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| draw(&area)).and_then(|()| area.present());
    drop(area);
    drawn.map(|()| svg).map_err(|e| PerfError::Plot(e.to_string()))
}

/// A chart with a title and room for the labels of both axes.
fn chart<'a, 'b>(area: &'a Area<'b>, title: &str) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    chart.caption(title, ("sans-serif", 20)).margin(12).x_label_area_size(40).y_label_area_size(70);
    chart
}

impl Lines {
    pub(crate) fn svg(&self) -> Result<String> {
        svg(|area| self.draw(area))
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let points = || self.series.iter().flat_map(|line| &line.points);
        let x_max = points().map(|p| p.0).fold(1.0, f64::max);
        let y_max = points().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max) * 1.05;
        let mut plot = chart(area, &self.title).build_cartesian_2d(0.0..x_max * 1.03, 0.0..y_max)?;
        plot.configure_mesh().x_desc(&self.x).y_desc(&self.y).light_line_style(WHITE.mix(0.0)).draw()?;
        for (name, from, until) in &self.marks {
            let shade = Rectangle::new([(*from, 0.0), (*until, y_max)], BLACK.mix(0.07).filled());
            let text = Text::new(name.clone(), (*from, y_max * 0.06), ("sans-serif", 13));
            plot.draw_series(std::iter::once(shade))?;
            plot.draw_series(std::iter::once(text))?;
        }
        for (index, Line { name, points, ideal }) in self.series.iter().enumerate() {
            let style = color(index).stroke_width(2);
            let drawn = if *ideal {
                plot.draw_series(DashedLineSeries::new(points.iter().copied(), 6, 5, style))?
            } else {
                let dots = points.iter().map(|p| Circle::new(*p, 4, color(index).filled()));
                plot.draw_series(dots)?;
                plot.draw_series(LineSeries::new(points.iter().copied(), style))?
            };
            drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        plot.configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
    }
}

impl Bars {
    pub(crate) fn svg(&self) -> Result<String> {
        svg(|area| self.draw(area))
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let values = self.series.iter().flat_map(|(_, values)| values.iter().flatten());
        let y_max = values.copied().fold(f64::MIN_POSITIVE, f64::max) * 1.15;
        let groups = self.groups.len().max(1);
        let mut plot =
            chart(area, &self.title).build_cartesian_2d((0..groups - 1).into_segmented(), 0.0..y_max)?;
        let name = |value: &SegmentValue<usize>| match value {
            SegmentValue::CenterOf(group) => self.groups.get(*group).cloned().unwrap_or_default(),
            _ => String::new(),
        };
        plot.configure_mesh()
            .disable_x_mesh()
            .x_labels(groups)
            .x_label_formatter(&name)
            .y_desc(&self.y)
            .draw()?;
        // The same area once more with plain numbers, where bars can stand beside one another.
        let mut bars = chart(area, &self.title).build_cartesian_2d(0.0..groups as f64, 0.0..y_max)?;
        let width = GROUP_WIDTH / self.series.len().max(1) as f64;
        for (index, (name, values)) in self.series.iter().enumerate() {
            let fill = color(index).filled();
            let left = |group: usize| group as f64 + (1.0 - GROUP_WIDTH) / 2.0 + index as f64 * width;
            let rectangles = values.iter().enumerate().filter_map(|(group, value)| {
                Some(Rectangle::new([(left(group), 0.0), (left(group) + width * 0.95, (*value)?)], fill))
            });
            bars.draw_series(rectangles)?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], fill));
        }
        bars.configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn =
    std::result::Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_their_series() {
        let plot = Lines {
            title: "disks".into(),
            x: "N".into(),
            y: "MB/s".into(),
            series: vec![
                Line { name: "ideal".into(), points: vec![(1.0, 100.0), (8.0, 800.0)], ideal: true },
                Line { name: "ours".into(), points: vec![(1.0, 99.0), (8.0, 780.0)], ideal: false },
            ],
            marks: vec![("shaded".into(), 2.0, 3.0)],
        };
        let svg = plot.svg().unwrap();
        for word in ["<svg", "ideal", "ours", "MB/s", "disks", "shaded"] {
            assert!(svg.contains(word), "{word}");
        }
    }

    #[test]
    fn bars_may_lack_a_value() {
        let plot = Bars {
            title: "hot".into(),
            y: "req/s".into(),
            groups: vec!["c1".into(), "c16".into()],
            series: vec![("a".into(), vec![Some(1.0), None]), ("b".into(), vec![Some(2.0), Some(3.0)])],
        };
        let svg = plot.svg().unwrap();
        assert!(svg.contains("c16") && svg.contains("<rect"), "{svg}");
        Bars::default().svg().unwrap();
        Lines::default().svg().unwrap();
    }
}
