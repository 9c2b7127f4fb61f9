//! Tests of pictures.

use super::{Picture, PictureNode, Tone};

fn node(name: &str, level: u32, parents: &[usize]) -> PictureNode {
    PictureNode {
        name: name.to_owned(),
        versions: "1.0 -> 1.0.1".to_owned(),
        label: "build".to_owned(),
        details: vec!["a 1.0 -> 1.1".to_owned()],
        tone: Tone::Active,
        level,
        parents: parents.to_vec(),
    }
}

fn diamond() -> Picture {
    Picture {
        title: "show/a 1.1: 3 build".to_owned(),
        nodes: vec![
            node("show/a", 0, &[]),
            node("show/b", 1, &[0]),
            node("show/c", 1, &[0]),
            node("show/d", 2, &[0, 1, 2]),
        ],
    }
}

#[test]
fn a_tree_has_each_node_once_below_the_deepest_it_follows() {
    let text = diamond().to_text();
    let names: Vec<&str> = text
        .lines()
        .skip(1)
        .map(|line| line.split(" 1.0").next().unwrap_or_default())
        .collect();
    assert_eq!(names, ["show/a", "  show/b", "  show/c", "    show/d"]);
    assert!(
        text.starts_with("show/a 1.1: 3 build\n") && text.contains("build  (a 1.0 -> 1.1)"),
        "{text}"
    );
}

#[test]
fn names_that_are_code_elsewhere_are_text_here() {
    let mut picture = diamond();
    picture.nodes[1].name = "<script>\"a\\\" & 'b'\u{1}".to_owned();
    let (svg, dot) = (picture.to_svg(), picture.to_dot());
    assert!(
        !svg.contains("<script>")
            && svg.contains("&lt;script&gt;&quot;a\\&quot; &amp; &#x27;b&#x27;\u{fffd}")
    );
    assert!(dot.contains(r#"label="<script>\"a\\\" & 'b'"#), "{dot}");
}

#[test]
fn boxes_do_not_overlap_and_edges_end_at_them() {
    let mut picture = diamond();
    for number in 0..30 {
        picture
            .nodes
            .push(node(&format!("show/e{number}"), 3, &[3, number % 3]));
    }
    let layout = super::layout::lay_out(&picture);
    for (at, a) in layout.boxes.iter().enumerate() {
        assert!(a.x >= 0.0 && a.x + a.width <= layout.width && a.y + super::layout::HEIGHT <= layout.height);
        for b in &layout.boxes[at + 1..] {
            let apart_x = a.x + a.width <= b.x || b.x + b.width <= a.x;
            let apart_y = (a.y - b.y).abs() >= super::layout::HEIGHT;
            assert!(apart_x || apart_y, "{a:?} {b:?}");
        }
    }
    let edges: usize = picture.nodes.iter().map(|node| node.parents.len()).sum();
    assert_eq!(layout.edges.len(), edges);
    assert!(
        layout
            .edges
            .iter()
            .all(|points| points.len() >= 2 && points.len() % 2 == 0)
    );
    assert_eq!(
        picture.to_svg().matches("<rect ").count(),
        picture.nodes.len() + 1
    );
}
