//! The pages of `serve http` as people see and use them, in Chromium: wide, narrow, dark and light,
//! with and without scripts.

use std::fs;

use serde_json::{Value, json};

use crate::chromium::Browser;
use crate::serve::Site;

/// The names in the table, without the icons.
const NAMES: &str = "[...document.querySelectorAll('tbody bdi')].map(name => name.textContent)";

/// Waits until these names are listed.
#[track_caller]
fn lists(browser: &mut Browser, names: &Value) {
    let listed = format!(
        "new Promise(resolve => (function look() {{
            const names = {NAMES};
            const isThere = JSON.stringify(names) === JSON.stringify({names});
            isThere || performance.now() > 20_000 ? resolve(names) : requestAnimationFrame(look);
        }})())"
    );
    assert_eq!(browser.evaluate(&listed), *names);
}

#[test]
fn pages_fit_every_window_in_every_colour() {
    let site = Site::start(&["--upload"]);
    fs::write(site.path(&format!("{}.txt", "long name ".repeat(20))), "").unwrap();
    fs::write(site.path(&"n".repeat(200)), "").unwrap();
    let mut browser = Browser::start();
    for (width, height) in [(1280, 800), (360, 740)] {
        browser.resize(width, height);
        for path in ["/", "/log/", "/none"] {
            let url = format!("{}{path}", site.url);
            for (scheme, is_dark) in [("light", false), ("dark", true)] {
                browser.prefer(scheme);
                browser.open(&url);
                assert!(!browser.overflows(), "{path} at {width} is too wide");
                let ground = browser.lightness("html", "backgroundColor");
                let ground = ground.max(browser.lightness("body", "backgroundColor"));
                let ink = browser.lightness("main", "color");
                assert_eq!(ground < ink, is_dark, "{path}: {ink} on {ground} where it is {scheme}");
                assert!((ground - ink).abs() > 0.5, "{path}: {ink} on {ground} is hard to read");
            }
        }
    }
}

#[test]
fn names_are_shown_as_they_are_and_links_open_them() {
    let site = Site::start(&[]);
    let name = "<img src=x onerror=document.title='taken'>&amp; #%41?.txt";
    fs::write(site.path(name), "calm").unwrap();
    let mut browser = Browser::start();
    for scripts in [true, false] {
        browser.run_scripts(scripts);
        browser.open(&format!("{}/", site.url));
        let names = browser.evaluate(NAMES);
        assert_eq!(names, json!(["log/", name, "chart.bin", "text.txt"]));
        assert_eq!(browser.evaluate("document.images.length"), 0);
        browser.leave_by("document.querySelector('tbody a[href*=onerror]').click()");
        assert_eq!(browser.evaluate("document.body.textContent"), "calm");
    }
    browser.open(&format!("{}/", site.url));
    browser.leave_by("document.querySelector('th:nth-child(2) a').click()");
    let sorted = browser.evaluate("document.querySelector('th:nth-child(2)').ariaSort");
    assert_eq!(sorted, "ascending");
}

#[test]
fn a_file_that_is_chosen_is_sent_and_then_listed() {
    let site = Site::start(&["--upload"]);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("new log.txt");
    fs::write(&file, "calm").unwrap();
    let mut browser = Browser::start();
    browser.resize(360, 740);
    browser.open(&format!("{}/log/", site.url));
    browser.choose_file("input[type=file]", &file);
    lists(&mut browser, &json!(["day 1.txt", "new log.txt"]));
    assert_eq!(fs::read_to_string(site.path("log/new log.txt")).unwrap(), "calm");

    // Once more: it is there already.
    browser.choose_file("input[type=file]", &file);
    let refused = "new Promise(resolve => (function look() {
        const row = document.querySelector('#transfers .failed');
        row ? resolve(row.textContent) : requestAnimationFrame(look);
    })())";
    let told = browser.evaluate(refused);
    assert!(told.as_str().unwrap().contains("new log.txt"), "{told}");
}

#[test]
fn files_that_are_dropped_are_sent() {
    let site = Site::start(&["--upload"]);
    let mut browser = Browser::start();
    browser.open(&format!("{}/log/", site.url));
    browser.evaluate(
        "(() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(['calm'], 'day 1.txt'));
            dataTransfer.items.add(new File(['calm'], 'day 2.txt'));
            dataTransfer.items.add(new File([new Uint8Array(3000000)], 'large.bin'));
            document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true }));
        })()",
    );
    // What was sent is listed, and what was refused is told with its reason, on lines of their own.
    lists(&mut browser, &json!(["day 1.txt", "day 2.txt", "large.bin"]));
    assert_eq!(browser.evaluate("document.querySelector('#summary').textContent[0]"), "3");
    let rows = "[...document.querySelectorAll('#transfers li')].map(row => row.className)";
    assert_eq!(browser.evaluate(rows), json!(["failed", "done", "done"]));
    let below =
        "(selector => document.querySelector(`.failed ${selector}`).getBoundingClientRect())";
    let below = format!("{below}('bdi').bottom <= {below}('span').top");
    for (width, is_below) in [(1280, false), (400, true)] {
        browser.resize(width, 800);
        assert_eq!(browser.evaluate(&below), is_below, "{width}");
    }
    assert_eq!(fs::metadata(site.path("log/large.bin")).unwrap().len(), 3_000_000);
}

#[test]
fn the_form_works_without_scripts() {
    let site = Site::start(&["--upload"]);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("day 2.txt");
    fs::write(&file, "calm").unwrap();
    let mut browser = Browser::start();
    browser.run_scripts(false);
    browser.open(&format!("{}/log/", site.url));
    browser.choose_file("input[type=file]", &file);
    browser.leave_by("document.querySelector('form button').click()");
    assert_eq!(browser.evaluate(NAMES), json!(["day 1.txt", "day 2.txt"]));
}
