//! The two faces of the document, and text set in them: measured, broken into lines and shaped. Lengths are hundredths of
//! a point, so that layout is whole numbers; PDF's own floats are made in [`points`] and [`em`] alone.

use krilla::text::{Font, GlyphId, KrillaGlyph};
use num_traits::ToPrimitive;
use rustybuzz::{Direction, Script, ShapePlan, UnicodeBuffer};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use unicode_bidi::BidiInfo;

use crate::Fault;

static REGULAR: &[u8] = include_bytes!("../../fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../fonts/DejaVuSans-Bold.ttf");

/// Stands for what the faces have no glyph for; the text below it stays what it is.
const MISSING: char = '□';

/// Words whose widths are remembered, at most.
const REMEMBERED: usize = 20_000;

/// A length as PDF has it.
#[allow(clippy::float_arithmetic)] // PDF's lengths are floats
pub fn points(hundredths: i32) -> f32 {
    hundredths.to_f32().unwrap_or(0.0) / 100.0
}

/// A part of the em as PDF has it.
#[allow(clippy::float_arithmetic)] // PDF's advances are floats
fn em(units: i32, of: i32) -> f32 {
    units.to_f32().unwrap_or(0.0) / of.to_f32().unwrap_or(1.0)
}

/// How text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style {
    /// Size, hundredths of a point.
    pub size: i32,
    /// Whether it is bold.
    pub bold: bool,
    /// Whether it is of less weight than the rest: grey.
    pub soft: bool,
}

/// A stretch of one direction, ready to be drawn.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its text, as it is read and copied.
    pub text: String,
    /// What is drawn for it.
    pub glyphs: Vec<KrillaGlyph>,
    /// Its width, hundredths of a point.
    pub width: i32,
}

struct Face {
    shaper: rustybuzz::Face<'static>,
    drawn: Font,
    /// The glyph for what is missing.
    missing: (u32, i32),
    /// How scripts are shaped: working this out takes longer than a word's shaping.
    plans: RefCell<Vec<(Direction, Script, Rc<ShapePlan>)>>,
}

impl Face {
    fn of(data: &'static [u8]) -> Result<Self, Fault> {
        let unreadable = || Fault::Written("a font cannot be read".into());
        let shaper = rustybuzz::Face::from_slice(data, 0).ok_or_else(unreadable)?;
        let drawn = Font::new(data.into(), 0).ok_or_else(unreadable)?;
        let missing = shaper.glyph_index(MISSING).ok_or_else(unreadable)?;
        let advance = shaper.glyph_hor_advance(missing).map_or(0, i32::from);
        Ok(Self { shaper, drawn, missing: (missing.0.into(), advance), plans: RefCell::default() })
    }

    fn plan(&self, direction: Direction, script: Script) -> Rc<ShapePlan> {
        let mut plans = self.plans.borrow_mut();
        if let Some((_, _, plan)) = plans.iter().find(|known| known.0 == direction && known.1 == script) {
            return Rc::clone(plan);
        }
        let plan = Rc::new(ShapePlan::new(&self.shaper, direction, Some(script), None, &[]));
        plans.push((direction, script, Rc::clone(&plan)));
        plan
    }

    /// Shapes a stretch of one direction.
    fn shape(&self, text: &str, direction: Direction) -> Shaped {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        buffer.set_direction(direction);
        let plan = self.plan(direction, buffer.script());
        let shaped = rustybuzz::shape_with_plan(&self.shaper, &plan, buffer);
        let of = self.shaper.units_per_em();
        let starts: Vec<usize> =
            shaped.glyph_infos().iter().map(|info| usize::try_from(info.cluster).unwrap_or(0)).collect();
        // A cluster reaches to where the next one in the text begins, whatever the direction.
        let mut edges = starts.clone();
        edges.push(text.len());
        edges.sort_unstable();
        edges.dedup();
        let mut width = 0;
        let glyphs =
            shaped.glyph_infos().iter().zip(shaped.glyph_positions()).zip(&starts).map(|((info, at), start)| {
                let end = edges.iter().find(|edge| *edge > start).copied().unwrap_or(text.len());
                let (id, advance) = if info.glyph_id == 0 { self.missing } else { (info.glyph_id, at.x_advance) };
                width += advance;
                let id = GlyphId::new(id);
                KrillaGlyph::new(id, em(advance, of), em(at.x_offset, of), em(at.y_offset, of), 0.0, *start..end, None)
            });
        let glyphs = glyphs.collect();
        Shaped { glyphs, width, of }
    }
}

/// What a text becomes, before it has a size: in units of the face.
struct Shaped {
    glyphs: Vec<KrillaGlyph>,
    width: i32,
    of: i32,
}

impl Shaped {
    fn width(&self, size: i32) -> i32 {
        let width = i64::from(self.width).saturating_mul(size.into()) / i64::from(self.of.max(1));
        i32::try_from(width).unwrap_or(i32::MAX)
    }
}

/// The faces of the document, with the widths of words they have set.
pub struct Fonts {
    regular: Face,
    bold: Face,
    widths: HashMap<(Style, String), i32>,
}

impl Fonts {
    /// The faces that the program holds.
    ///
    /// # Errors
    /// [`Fault::Written`] where they cannot be read.
    pub fn new() -> Result<Self, Fault> {
        Ok(Self { regular: Face::of(REGULAR)?, bold: Face::of(BOLD)?, widths: HashMap::new() })
    }

    fn face(&self, style: Style) -> &Face {
        if style.bold { &self.bold } else { &self.regular }
    }

    /// The font of a style, as the writer takes it.
    pub fn drawn(&self, style: Style) -> Font {
        self.face(style).drawn.clone()
    }

    /// A line of text, in the order in which its stretches stand on paper.
    pub fn line(&self, text: &str, style: Style) -> Vec<Run> {
        let face = self.face(style);
        let run = |text: &str, direction| {
            let shaped = face.shape(text, direction);
            let width = shaped.width(style.size);
            Run { text: text.to_owned(), glyphs: shaped.glyphs, width }
        };
        if text.is_ascii() {
            return vec![run(text, Direction::LeftToRight)];
        }
        let bidi = BidiInfo::new(text, None);
        let mut runs = Vec::new();
        for paragraph in &bidi.paragraphs {
            let (levels, stretches) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for stretch in stretches {
                let backwards = levels.get(stretch.start).is_some_and(unicode_bidi::Level::is_rtl);
                let direction = if backwards { Direction::RightToLeft } else { Direction::LeftToRight };
                if let Some(text) = text.get(stretch) {
                    runs.push(run(text, direction));
                }
            }
        }
        runs
    }

    /// How wide a text is on one line, hundredths of a point.
    pub fn width(&mut self, text: &str, style: Style) -> i32 {
        let key = (style, text.to_owned());
        if let Some(width) = self.widths.get(&key) {
            return *width;
        }
        let width = self.line(text, style).iter().map(|run| run.width).fold(0, i32::saturating_add);
        if self.widths.len() < REMEMBERED {
            self.widths.insert(key, width);
        }
        width
    }

    /// A text as lines that are no wider than `width`; a word that is goes over several.
    pub fn wrapped(&mut self, text: &str, style: Style, width: i32) -> Vec<String> {
        let text = drawable(text);
        let mut lines = Vec::new();
        for paragraph in text.split('\n') {
            let mut line = String::new();
            let mut used = 0;
            let space = self.width(" ", style);
            for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
                for piece in self.pieces(word, style, width) {
                    let piece_width = self.width(&piece, style);
                    let with = used + if line.is_empty() { 0 } else { space } + piece_width;
                    if !line.is_empty() && with > width {
                        lines.push(std::mem::take(&mut line));
                        used = piece_width;
                    } else {
                        if !line.is_empty() {
                            line.push(' ');
                        }
                        used = with;
                    }
                    line.push_str(&piece);
                }
            }
            lines.push(line);
        }
        lines
    }

    /// A word in pieces that are no wider than a line.
    fn pieces(&mut self, word: &str, style: Style, width: i32) -> Vec<String> {
        if self.width(word, style) <= width {
            return vec![word.to_owned()];
        }
        let (mut pieces, mut piece, mut used) = (Vec::new(), String::new(), 0);
        for c in word.chars() {
            let wide = self.width(c.encode_utf8(&mut [0; 4]), style);
            if !piece.is_empty() && used + wide > width {
                pieces.push(std::mem::take(&mut piece));
                used = 0;
            }
            piece.push(c);
            used += wide;
        }
        pieces.push(piece);
        pieces
    }
}

/// The text with what cannot be drawn taken out: controls and marks of direction, which could make a text look like
/// another, and signs that mean nothing outside of private agreements.
fn drawable(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' => Some('\n'),
            '\u{2028}' | '\u{2029}' => Some('\n'),
            c if c.is_control() => Some(' '),
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => None,
            '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff0}'..='\u{fffb}' => None,
            '\u{e0000}'..='\u{e0fff}' => None,
            '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => Some(MISSING),
            c if u32::from(c) & 0xfffe == 0xfffe => Some(MISSING),
            c => Some(c),
        })
        .collect()
}
