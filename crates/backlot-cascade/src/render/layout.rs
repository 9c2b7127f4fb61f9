//! Where things are in a picture: a column a level, rows that keep edges short (after Sugiyama, Tagawa and Toda 1981).
//!
//! Invariant: boxes of a column do not overlap, and an edge over several levels has a place in each column between, so that
//! it does not run through boxes. Units are pixels. Deliberately absent: the best order of rows, which is hard; four passes
//! of averages are near it.

use super::Picture;

/// Height of a box.
pub(super) const HEIGHT: f64 = 52.0;
const GAP: f64 = 14.0;
const BEND: f64 = 16.0;
const COLUMN_GAP: f64 = 70.0;
const MARGIN: f64 = 20.0;
const TITLE: f64 = 30.0;
/// Bends there may be; beyond, edges go straight.
const MOST_BENDS: usize = 20_000;
const PASSES: usize = 4;

/// A box.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placed {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

/// A layout.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// One a node of the picture.
    pub(super) boxes: Vec<Placed>,
    /// The points of each edge.
    pub(super) edges: Vec<Vec<(f64, f64)>>,
}

/// What takes a place in a column: a box, or the bend of an edge.
struct Item {
    column: usize,
    /// The box's node; `None` of a bend.
    node: Option<usize>,
    before: Vec<usize>,
    after: Vec<usize>,
    row: f64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of rows and characters are small"
)]
fn number(count: usize) -> f64 {
    count as f64
}

/// Width of a box with these texts, in a font of 12 pixels.
fn width_of(texts: [&str; 3]) -> f64 {
    let longest = texts
        .iter()
        .map(|text| text.chars().count().min(super::svg::LONGEST))
        .max();
    number(longest.unwrap_or(0)) * 7.6 + 20.0
}

pub(super) fn lay_out(picture: &Picture) -> Layout {
    let (mut items, chains) = items(picture);
    let columns = items.iter().map(|item| item.column + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); columns];
    for (at, item) in items.iter().enumerate() {
        rows[item.column].push(at);
    }
    order(&mut rows, &mut items);
    place(picture, &rows, &items, &chains)
}

/// Boxes and bends, and the items along each edge.
fn items(picture: &Picture) -> (Vec<Item>, Vec<Vec<usize>>) {
    let mut items: Vec<Item> = picture
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| Item {
            column: usize::try_from(node.level).unwrap_or(0),
            node: Some(at),
            before: Vec::new(),
            after: Vec::new(),
            row: 0.0,
        })
        .collect();
    let mut chains = Vec::new();
    for (at, node) in picture.nodes.iter().enumerate() {
        for parent in &node.parents {
            let mut chain = vec![*parent];
            let between = items[*parent].column + 1..items[at].column;
            if items.len() + between.len() <= picture.nodes.len() + MOST_BENDS {
                for column in between {
                    chain.push(items.len());
                    items.push(Item {
                        column,
                        node: None,
                        before: Vec::new(),
                        after: Vec::new(),
                        row: 0.0,
                    });
                }
            }
            chain.push(at);
            for pair in chain.windows(2) {
                items[pair[0]].after.push(pair[1]);
                items[pair[1]].before.push(pair[0]);
            }
            chains.push(chain);
        }
    }
    (items, chains)
}

/// Order each column by the mean row of its neighbours, from the left and from the right in turn.
fn order(rows: &mut [Vec<usize>], items: &mut [Item]) {
    for row in rows.iter() {
        for (at, item) in row.iter().enumerate() {
            items[*item].row = number(at);
        }
    }
    for pass in 0..PASSES {
        let forward = pass % 2 == 0;
        let columns: Vec<usize> = if forward {
            (0..rows.len()).collect()
        } else {
            (0..rows.len()).rev().collect()
        };
        for column in columns {
            let mean = |at: usize| {
                let neighbours = if forward {
                    &items[at].before
                } else {
                    &items[at].after
                };
                let sum: f64 = neighbours.iter().map(|neighbour| items[*neighbour].row).sum();
                if neighbours.is_empty() {
                    items[at].row
                } else {
                    sum / number(neighbours.len())
                }
            };
            let mut keyed: Vec<(f64, usize)> = rows[column].iter().map(|at| (mean(*at), *at)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[column] = keyed.into_iter().map(|(_, at)| at).collect();
            for (at, item) in rows[column].iter().enumerate() {
                items[*item].row = number(at);
            }
        }
    }
}

fn place(picture: &Picture, rows: &[Vec<usize>], items: &[Item], chains: &[Vec<usize>]) -> Layout {
    let size = |at: usize| {
        if items[at].node.is_some() {
            HEIGHT + GAP
        } else {
            BEND
        }
    };
    let heights: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().map(|at| size(*at)).sum())
        .collect();
    let tallest = heights.iter().copied().fold(0.0, f64::max);
    let mut layout = Layout {
        boxes: vec![Placed::default(); picture.nodes.len()],
        ..Layout::default()
    };
    // Left and right end of each item, at half its height.
    let mut ends = vec![((0.0, 0.0), (0.0, 0.0)); items.len()];
    let mut x = MARGIN;
    for (row, height) in rows.iter().zip(&heights) {
        let nodes = row
            .iter()
            .filter_map(|at| items[*at].node.map(|node| &picture.nodes[node]));
        let width = nodes
            .map(|node| width_of([&node.name, &node.versions, &node.label]))
            .fold(40.0, f64::max);
        let mut y = TITLE + MARGIN + (tallest - height) / 2.0;
        for at in row {
            let middle = y + if items[*at].node.is_some() {
                HEIGHT / 2.0
            } else {
                BEND / 2.0
            };
            ends[*at] = ((x, middle), (x + width, middle));
            if let Some(node) = items[*at].node {
                layout.boxes[node] = Placed { x, y, width };
            }
            y += size(*at);
        }
        x += width + COLUMN_GAP;
    }
    layout.edges = chains
        .iter()
        .map(|chain| {
            let mut points = Vec::with_capacity(chain.len() * 2);
            for (step, at) in chain.iter().enumerate() {
                let (left, right) = ends[*at];
                if step > 0 {
                    points.push(left);
                }
                if step + 1 < chain.len() {
                    points.push(right);
                }
            }
            points
        })
        .collect();
    layout.width = (x - COLUMN_GAP + MARGIN).max(2.0 * MARGIN + number(picture.title.chars().count()) * 7.5);
    layout.height = TITLE + 2.0 * MARGIN + tallest;
    layout
}
