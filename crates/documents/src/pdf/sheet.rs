//! Pages as they fill up, and the order in which they are read. Nothing is drawn before all is placed, for each page names
//! how many there are.

use super::fonts::{Fonts, Run, Style, points};
use crate::Fault;
use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;
use krilla::tagging::{Artifact, ArtifactType, ContentTag, Identifier, SpanTag, TagGroup, TagKind, TagTree};

/// A4, hundredths of a point.
const SIZE: (i32, i32) = (59_528, 84_189);
/// Left and right of what is printed.
pub const MARGIN: i32 = 4_800;
/// How wide what is printed is.
pub const WIDTH: i32 = SIZE.0 - 2 * MARGIN;
/// Where a page's text begins and ends.
const TOP: i32 = 5_200;
const BOTTOM: i32 = 77_500;
/// Where its foot stands.
const FOOT: i32 = 80_500;

/// Where a text stands on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Begins there.
    Left,
    /// Ends there.
    Right,
}

enum Op {
    Text { x: i32, y: i32, style: Style, runs: Vec<Run> },
    Rule { y: i32, strong: bool },
}

/// What ops mean.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    /// A part of the text, by its place among all.
    Content(usize),
    /// Not of the text.
    Artifact(ArtifactType),
}

struct Block {
    meaning: Meaning,
    ops: Vec<Op>,
}

/// A part of the document as it is read.
pub struct Part {
    tag: TagKind,
    children: Vec<Child>,
}

enum Child {
    Part(Part),
    Leaf(usize),
}

impl Part {
    /// An empty part.
    pub fn new(tag: impl Into<TagKind>) -> Self {
        Self { tag: tag.into(), children: Vec::new() }
    }

    /// Adds a part at its end.
    pub fn push(&mut self, part: Self) {
        self.children.push(Child::Part(part));
    }

    /// Adds the parts of another at its end: what was placed before, but is read after.
    pub fn append(&mut self, other: Self) {
        self.children.extend(other.children);
    }

    fn group(self, leaves: &[Identifier]) -> TagGroup {
        let mut group = TagGroup::new(self.tag);
        for child in self.children {
            match child {
                Child::Part(part) => group.push(part.group(leaves)),
                Child::Leaf(at) => leaves.get(at).into_iter().for_each(|leaf| group.push(*leaf)),
            }
        }
        group
    }
}

/// The pages.
pub struct Sheet {
    /// The faces.
    pub fonts: Fonts,
    pages: Vec<Vec<Block>>,
    leaves: usize,
    /// Where the next line begins, hundredths of a point from the top.
    pub y: i32,
}

impl Sheet {
    /// One empty page.
    pub fn new(fonts: Fonts) -> Self {
        Self { fonts, pages: vec![Vec::new()], leaves: 0, y: TOP }
    }

    /// Whether so much more fits on this page.
    pub fn fits(&self, height: i32) -> bool {
        self.y.saturating_add(height) <= BOTTOM
    }

    /// Begins the next page.
    pub fn turn(&mut self) {
        self.pages.push(Vec::new());
        self.y = TOP;
    }

    /// Which page this is, from 0.
    pub fn page(&self) -> usize {
        self.pages.len().saturating_sub(1)
    }

    /// One line of text at a place, as a part of what is read: on one page what one part holds is one piece of content.
    pub fn text(&mut self, part: &mut Part, text: &str, style: Style, (x, align): (i32, Align)) {
        let op = self.set(text, style, (x, self.y, align));
        let Some(page) = self.pages.last_mut() else { return };
        if let (Some(Child::Leaf(leaf)), Some(block)) = (part.children.last(), page.last_mut())
            && block.meaning == Meaning::Content(*leaf)
        {
            block.ops.push(op);
            return;
        }
        let leaf = self.leaves;
        self.leaves = leaf.saturating_add(1);
        part.children.push(Child::Leaf(leaf));
        page.push(Block { meaning: Meaning::Content(leaf), ops: vec![op] });
    }

    /// One line of text that is not read, such as heads that stand on each page.
    pub fn beside(&mut self, text: &str, style: Style, (x, align): (i32, Align)) {
        let op = self.set(text, style, (x, self.y, align));
        self.artifact(ArtifactType::PaginationOther, op);
    }

    /// A line across the page.
    pub fn rule(&mut self, strong: bool) {
        let y = self.y;
        self.artifact(ArtifactType::Layout, Op::Rule { y, strong });
    }

    fn artifact(&mut self, kind: ArtifactType, op: Op) {
        if let Some(page) = self.pages.last_mut() {
            page.push(Block { meaning: Meaning::Artifact(kind), ops: vec![op] });
        }
    }

    /// A line of text by its baseline.
    fn set(&mut self, text: &str, style: Style, (x, y, align): (i32, i32, Align)) -> Op {
        let runs = self.fonts.line(text, style);
        let width = runs.iter().map(|run| run.width).fold(0, i32::saturating_add);
        let x = if align == Align::Right { x.saturating_sub(width) } else { x };
        Op::Text { x, y: y.saturating_add(style.size), style, runs }
    }

    /// Draws all pages, each with its foot: what the document is, and which page of how many.
    ///
    /// # Errors
    /// [`Fault::Written`] where the writer does not take it.
    pub fn finish(mut self, mut document: Document, foot: &str, root: Part) -> Result<Vec<u8>, Fault> {
        let style = Style { size: 750, bold: false, soft: true };
        let count = self.pages.len();
        let foot = self.fonts.wrapped(foot, style, WIDTH - 8_000).into_iter().next().unwrap_or_default();
        let mut leaves = Vec::with_capacity(self.leaves);
        for (number, blocks) in (1_usize..).zip(std::mem::take(&mut self.pages)) {
            let settings =
                PageSettings::from_wh(points(SIZE.0), points(SIZE.1)).ok_or_else(|| Fault::written("size"))?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            for block in blocks {
                let leaf = surface.start_tagged(match block.meaning {
                    Meaning::Content(_) => ContentTag::Span(SpanTag::empty()),
                    Meaning::Artifact(kind) => ContentTag::Artifact(Artifact::with_kind(kind)),
                });
                block.ops.iter().for_each(|op| self.draw(&mut surface, op));
                surface.end_tagged();
                if matches!(block.meaning, Meaning::Content(_)) {
                    leaves.push(leaf);
                }
            }
            surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::Footer)));
            let of = format!("Page {number} of {count}");
            for (text, place) in
                [(foot.as_str(), (MARGIN, FOOT, Align::Left)), (&of, (MARGIN + WIDTH, FOOT, Align::Right))]
            {
                let op = self.set(text, style, place);
                self.draw(&mut surface, &op);
            }
            surface.end_tagged();
            surface.finish();
            page.finish();
        }
        let mut tree = TagTree::new().with_lang(Some("en".into()));
        tree.push(root.group(&leaves));
        document.set_tag_tree(tree);
        document.finish().map_err(Fault::written)
    }

    fn draw(&self, surface: &mut Surface<'_>, op: &Op) {
        let ink = |grey| {
            let paint = rgb::Color::new(grey, grey, grey).into();
            Some(Fill { paint, opacity: NormalizedF32::ONE, rule: FillRule::NonZero })
        };
        match op {
            Op::Text { x, y, style, runs } => {
                surface.set_fill(ink(if style.soft { 0x55 } else { 0x11 }));
                let mut x = *x;
                for run in runs {
                    let at = Point::from_xy(points(x), points(*y));
                    let font = self.fonts.drawn(*style);
                    surface.draw_glyphs(at, &run.glyphs, font, &run.text, points(style.size), false);
                    x = x.saturating_add(run.width);
                }
            }
            Op::Rule { y, strong } => {
                surface.set_fill(ink(if *strong { 0x55 } else { 0xcc }));
                let thick = if *strong { 80 } else { 50 };
                let line = Rect::from_xywh(points(MARGIN), points(*y), points(WIDTH), points(thick));
                let mut path = PathBuilder::new();
                line.into_iter().for_each(|line| path.push_rect(line));
                path.finish().iter().for_each(|path| surface.draw_path(path));
            }
        }
    }
}
