//! Searching: words and terms over names, summaries, types, tags, authors, requirements and files.

use backlot_tests::Studio;

fn found(studio: &Studio, arguments: &[&str]) -> Vec<String> {
    let report = studio
        .ws(&[&["search", "--json"], arguments].concat())
        .ok()
        .json();
    let packages = report["packages"].as_array().expect("packages").clone();
    packages
        .iter()
        .map(|row| row["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn terms_are_asked_of_all_that_a_release_says() {
    let studio = Studio::new();
    studio
        .ws(&[
            "new",
            "Table",
            "--type",
            "Prop",
            "--tag",
            "hero",
            "--summary",
            "of oak",
        ])
        .ok();
    studio.frames("ws/outputs/table/src/table/beauty", 2, 500, 1);
    studio.write("ws/outputs/table/src/table/model.abc", b"points");
    studio
        .ws(&[
            "add",
            "ws/outputs/table/src/table/beauty",
            "ws/outputs/table/src/table/model.abc",
        ])
        .ok();
    studio.ws(&["publish", "Table"]).ok();
    studio.ws(&["new", "Kitchen", "--type", "Set"]).ok();
    studio.ws(&["input", "add", "Kitchen", "Table>=0.1,<2"]).ok();
    let mut publish = studio.command(&["-w", "ws", "publish", "Kitchen"]);
    backlot_tests::run_command(publish.env("BACKLOT_AUTHOR", "Ben Lee")).ok();
    studio.ws(&["new", "Lamp", "--type", "Prop"]).ok();
    studio.ws(&["publish", "Lamp"]).ok();
    studio
        .ws(&["approve", "Lamp==0.1.0", "--repo", "review", "-m", "seen"])
        .ok();
    for (query, expected) in [
        (&[][..], &["Kitchen", "Lamp", "Table"][..]),
        (&["oak"], &["Table"]),
        (&["tab"], &["Table"]),
        (&["type:prop"], &["Lamp", "Table"]),
        (&["type:Prop,Set -hero"], &["Kitchen", "Lamp"]),
        (&["tag:hero", "type:Prop"], &["Table"]),
        (&["--type", "Prop", "--tag", "hero"], &["Table"]),
        (&["by:ana"], &["Lamp", "Table"]),
        (&["by:\"Ben Lee\""], &["Kitchen"]),
        (&["needs:Table"], &["Kitchen"]),
        (&["needs:Table>=1"], &["Kitchen"]),
        (&["needs:table==1.4"], &["Kitchen"]),
        (&["needs:Table>=2"], &[]),
        (&["file:*.abc"], &["Table"]),
        (&["file:beauty"], &["Table"]),
        (&["approved"], &["Lamp"]),
        (&["type:Prop !approved age:<1h"], &["Table"]),
        (&["age:>1d"], &[]),
        (&["name:*tch*"], &["Kitchen"]),
    ] {
        assert_eq!(found(&studio, query), expected, "{query:?}");
    }
    // Of the newest release that is not yanked.
    studio
        .ws(&["yank", "Lamp==0.1.0", "--repo", "review", "-m", "too bright"])
        .ok();
    assert_eq!(found(&studio, &["type:Prop -yanked"]), ["Table"]);
    let row = studio.ws(&["search", "kitchen", "--json"]).ok().json();
    assert_eq!(row["packages"][0]["author"], "Ben Lee");
}

#[test]
fn a_query_that_is_wrong_says_which_term() {
    let studio = Studio::new();
    for (query, word) in [
        ("kitchen tpye:Rig", "is it `type`?"),
        ("age:soon", "`age:soon`"),
        ("\"open", "not closed"),
        ("needs:>1", "invalid requirement"),
    ] {
        let error = studio
            .ws(&["search", query, "--json"])
            .fails(2, "search::bad_query");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(word), "{message}");
    }
}
