//! Pages of the commands: `docs/commands` is compared with the pages that the command writes, so that changes of help texts are visible; and man
//! pages.

use backlot_tests::{Studio, repository, snapshot};

#[test]
fn the_pages_in_docs_are_those_of_this_command() {
    let studio = Studio::empty();
    studio.run(&["self", "pages", "markdown", "pages"]).ok();
    let (written, kept) = (
        studio.snapshot("pages"),
        snapshot(&repository().join("docs/commands")),
    );
    let names = |pages: &std::collections::BTreeMap<String, Vec<u8>>| -> Vec<String> {
        pages.keys().cloned().collect()
    };
    assert_eq!(names(&written), names(&kept), "run `cargo xtask pages`");
    for (name, page) in &written {
        let (page, kept) = (
            String::from_utf8_lossy(page),
            String::from_utf8_lossy(&kept[name]),
        );
        assert_eq!(page, kept, "{name}: run `cargo xtask pages`");
    }
    assert!(names(&written).iter().any(|name| name == "repo-add.md"));
}

#[test]
fn pages_link_to_pages_that_are_there_and_close_their_code() {
    let pages = snapshot(&repository().join("docs/commands"));
    for (name, page) in &pages {
        let page = String::from_utf8_lossy(page);
        assert_eq!(page.matches("```").count() % 2, 0, "{name}");
        for link in page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
        {
            assert!(pages.contains_key(link), "{name} links to {link}");
        }
    }
}

#[test]
fn every_command_has_a_man_page() {
    let studio = Studio::empty();
    studio.run(&["self", "pages", "man", "man1"]).ok();
    let man = studio.snapshot("man1");
    let markdown = snapshot(&repository().join("docs/commands"));
    for name in markdown.keys().filter_map(|name| name.strip_suffix(".md")) {
        let file = if name == "README" {
            "backlot.1".to_owned()
        } else {
            format!("backlot-{name}.1")
        };
        let page = man.get(&file).unwrap_or_else(|| panic!("{file} is missing"));
        let page = String::from_utf8_lossy(page);
        assert!(
            page.contains(".TH ") && page.contains(".SH SYNOPSIS"),
            "{file}: {page}"
        );
    }
}
